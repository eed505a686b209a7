/* SPDX-License-Identifier: Apache-2.0
 * Messages that no daemon sends. The recorder leaves them out, says so, lives, and keeps the next
 * good event as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

static const char *const values[] = {"-1",
                                     "0",
                                     "1",
                                     "9223372036854775807",
                                     "-9223372036854775808",
                                     "1e308",
                                     "1.5",
                                     "null",
                                     "true",
                                     "\"text\"",
                                     "[]",
                                     "{}",
                                     "[1,2,3]",
                                     "4611686018427387904",
                                     "70368744177664",
                                     "\"\\u0000\"",
                                     "\"../../../../tmp/x\"",
                                     "[99999999,99999999]",
                                     "[2147483647,2147483647]",
                                     "[0,0]",
                                     "[-1,4]",
                                     "[3,1000000000]"};
static const char *const fields[] = {
    "first", "count",  "t_ns",  "run",        "seq",      "shape",  "rate_hz",    "lost",
    "peak",  "id",     "onset", "end",        "index",    "p_peak", "t_onset_ns", "label",
    "ended", "labels", "model", "preprocess", "analysis", "silence"};
static const char *const topics[] = {"info", "label", "mask", "spec", "audio", "input", "event"};

#define PICK(list) (list)[(size_t)rand() % (sizeof(list) / sizeof *(list))]

/* A good header of the topic with one or two fields made wild, and a payload of any size. */
static void say_wild(struct pretender *p, uint64_t seq)
{
    static float payload[20000];
    char header[2048], name[80];
    const char *topic = PICK(topics);
    snprintf(name, sizeof name, "%s/s0", topic);
    int n = snprintf(header, sizeof header,
                     "{\"v\":1,\"topic\":\"%s\",\"stream\":\"s0\",\"run\":%lld,\"seq\":%llu,"
                     "\"first\":%llu,\"count\":%d,\"t_ns\":%lld,\"shape\":[3,4],\"id\":%d,"
                     "\"onset\":%llu,\"end\":%llu,\"index\":1,\"p_peak\":0.9,\"t_onset_ns\":%lld,"
                     "\"ended\":%s",
                     topic, (long long)p->run, (unsigned long long)seq,
                     (unsigned long long)p->streams[0].position, PRETENDER_HOP, (long long)p->t0_ns,
                     rand() % 50, (unsigned long long)p->streams[0].position,
                     (unsigned long long)p->streams[0].position + 5000, (long long)p->t0_ns,
                     rand() % 2 ? "true" : "false");
    for (int i = rand() % 3; i >= 0; i--)
        n += snprintf(header + n, sizeof header - (size_t)n, ",\"%s\":%s", PICK(fields),
                      PICK(values));
    snprintf(header + n, sizeof header - (size_t)n, "}");
    for (size_t i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)rand() << 16 ^ (uint32_t)rand(); /* NaN and infinity too */
        memcpy(&payload[i], &bits, sizeof bits);
    }
    static const size_t sizes[] = {0, 1, 48, PRETENDER_HOP * 4, 20520, 80000, 6477};
    pretender_frames(p, name, header, payload, PICK(sizes));
}

static void say_noise(struct pretender *p)
{
    char bytes[200], name[80];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(1 + rand() % 255);
    bytes[sizeof bytes - 1] = '\0';
    snprintf(name, sizeof name, "%s/s0", PICK(topics));
    pretender_frames(p, name, rand() % 2 ? bytes : "{\"v\":1", bytes, 17);
}

static void the_recorder_lives_and_keeps_the_next_event(void **state)
{
    char dir[] = "/tmp/pretender-XXXXXX";
    struct pretender p;
    struct recorder r;
    const char *given = getenv("SEED");
    unsigned seed = given != NULL ? (unsigned)atoi(given) : (unsigned)time(NULL);
    print_message("SEED=%u\n", seed);
    srand(seed);
    assert_non_null(mkdtemp(dir));
    pretender_start(&p, dir, 1);
    recorder_prepare(
        &r, NULL, &p, NULL,
        "[record]\ncontinuous = *\nchunk = 5 s\nmax_length = 2 s\n"
        "[retention]\nmin_free = 0\nmax_size = 20 MB\n[label speech]\nprivate = yes\n");
    recorder_start(&r, 0);
    pretender_wait(&p);
    for (int i = 0; i < 3000; i++) {
        if (i % 10 == 0)
            say_noise(&p);
        else
            say_wild(&p, (uint64_t)i);
        if (i % 50 == 0) {
            pretender_quiet(&p, 0, 1);
            usleep(10000);
            assert_true(recorder_lives(&r));
        }
    }
    /* names that are no files' names */
    p.run += 12345;
    memset(p.streams[0].seq, 0, sizeof p.streams[0].seq);
    p.streams[0].position = 0;
    pretender_info(&p, 0);
    p.streams[0].event = 1000000;
    pretender_quiet(&p, 0, 40);
    uint64_t id = pretender_sound(&p, 0, DOG, 0.9, 6);
    pretender_quiet(&p, 0, 40);
    char *sql;
    assert_true(asprintf(&sql, "SELECT count(*) FROM event WHERE run = %lld AND event = %llu",
                         (long long)p.run, (unsigned long long)id) > 0);
    recorder_wait(&r, sql, 1);
    free(sql);
    assert_true(recorder_lives(&r));
    assert_int_equal(recorder_stop(&r), 0);
    recorder_must_be_whole(&r);
    char *outside = recorder_run(
        &r, NULL,
        "--version; find %s -path '*history/*' -type f ! -path"
        " '*/clips/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/*' ! -name 'history.db*' ! -name lock"
        " ! -name commit ! -name reserve",
        r.dir);
    if (strchr(outside, '/') != NULL)
        fail_msg("outside of the clips: %s", outside);
    free(outside);
    assert_int_not_equal(access("/tmp/x.png", F_OK), 0);
    pretender_stop(&p);
    recorder_clean(&r);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_recorder_lives_and_keeps_the_next_event)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
