/* SPDX-License-Identifier: Apache-2.0
 * A subscriber that stops reading: others get everything at once, memory stays bounded, and the
 * loss shows to that one. Meanwhile the periodic info comes by itself. */
#include "tests/ipc/fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/libfocal/focal.h"

enum {
    SAMPLES = 32768,
    SAMPLES_BYTES = 4 * SAMPLES,
    HWM = 64,
    RATE_HZ = 200,
    SECONDS = 4,
    TOTAL = RATE_HZ * SECONDS
};

static struct fixture f;

static int setup(void **state)
{
    fixture_init(&f);
    f.config.send_hwm = HWM;
    fixture_start(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_finish(&f);
    return 0;
}

static long resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* The slow one, a process of its own: reads one message, says so, is stopped by the parent, then
 * reads until the message numbered last; its exit status says whether the loss showed. */
static int read_slowly(const char *data, uint64_t last)
{
    struct focal *focal;
    struct focal_options options = {.data = data, .control = data, .receive_hwm = 16};
    struct focal_message m;
    uint64_t lost = 0, got = 0;
    if (focal_open(&focal, &options) != 0 || focal_subscribe(focal, "input/kitchen") != 0)
        return 2;
    fixture_ready();
    if (focal_next(focal, &m, 10000) != 1)
        return 3;
    uint64_t first = m.seq;
    for (got = 1; m.seq < last; got++) {
        if (focal_next(focal, &m, 10000) != 1)
            return 4;
        lost += m.lost;
    }
    focal_close(focal);
    return lost > 0 && got + lost == m.seq - first + 1 ? 0 : 5;
}

static void a_stopped_subscriber_costs_others_nothing(void **state)
{
    pid_t pid = fixture_spawn("--slow", f.data);
    struct outbox *outbox;
    assert_int_equal(outbox_create(&outbox, f.publisher, 64, SAMPLES_BYTES, NULL), 0);
    assert_true(wait_until(publisher_wants(f.publisher, 0, TOPIC_INPUT)));
    struct subscriber fast = fixture_subscribe(f.data, "input/");
    assert_true(wait_until(publisher_wants(f.publisher, 1, TOPIC_INPUT)));
    struct received r;
    fixture_send_input(outbox, 0, 0, SAMPLES);
    assert_true(subscriber_next(&fast, &r, 5000));
    received_clear(&r);
    kill(pid, SIGSTOP);

    long before = resident_bytes(), most = 0;
    int64_t start = fixture_now_ms(), latest = 0;
    for (uint64_t i = 1; i < TOTAL; i++) {
        int64_t sent = fixture_now_ms();
        fixture_send_input(outbox, 0, i * SAMPLES, SAMPLES);
        assert_true(subscriber_next(&fast, &r, 5000));
        int64_t late = fixture_now_ms() - sent;
        latest = late > latest ? late : latest;
        assert_int_equal(received_int(&r, "seq"), i);
        received_clear(&r);
        long now = resident_bytes();
        most = now > most ? now : most;
        int64_t rest = start + (int64_t)i * 1000 / RATE_HZ - fixture_now_ms();
        if (rest > 0)
            fixture_sleep_ms((int)rest);
    }
    long sent_mb = (long)(TOTAL * SAMPLES_BYTES / 1000000);
    print_message(
        "%ld MB past a stopped subscriber: memory grew by %.1f MB, latest message %ld ms\n",
        sent_mb, (double)(most - before) / 1e6, (long)latest);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    /* its queue, and as much again twice for the allocator and the sockets; sanitizers keep freed
     * memory, so there this says nothing */
    assert_true(most - before < 3L * HWM * SAMPLES_BYTES);
#endif
    assert_int_equal(publisher_dropped(f.publisher), 0);

    kill(pid, SIGCONT);
    int status = -1;
    uint64_t i = TOTAL;
    while (waitpid(pid, &status, WNOHANG) == 0 && fixture_now_ms() - start < 40000) {
        fixture_send_input(outbox, 0, i++ * SAMPLES, SAMPLES);
        fixture_sleep_ms(20);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    subscriber_close(&fast);
}

static void info_comes_by_itself_every_ten_seconds(void **state)
{
    json_t *fields = json_pack("{s:s}", "model", "home");
    assert_int_equal(publisher_set_info(f.publisher, 0, fields), 0);
    json_decref(fields);
    int64_t start = fixture_now_ms();
    struct subscriber s = fixture_subscribe(f.data, "info/kitchen");
    struct received r;
    assert_true(subscriber_next(&s, &r, 5000));
    received_clear(&r);
    assert_true(subscriber_next(&s, &r, 12000));
    assert_in_range(fixture_now_ms() - start, 8000, 12000);
    assert_int_equal(received_int(&r, "seq"), 1);
    received_clear(&r);
    subscriber_close(&s);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--slow") == 0)
        return read_slowly(argv[2], TOTAL);
    const struct CMUnitTest slow[] = {
        cmocka_unit_test_setup_teardown(a_stopped_subscriber_costs_others_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(info_comes_by_itself_every_ten_seconds, setup, teardown),
    };
    return cmocka_run_group_tests(slow, NULL, NULL);
}
