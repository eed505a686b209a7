/* SPDX-License-Identifier: Apache-2.0
 * A real PipeWire with a null sink, pw-play into it, focald capturing its monitor; then the server
 * stops and starts: focald says so, comes back by itself, and the timeline shows the gap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/sources/servers.h"
#include "tests/daemon/system/focald_process.h"

enum { RATE = 16000, AWAY_S = 3, PLAYED_LOOPS = 12, SKIPPED = 77 };

static char reason[SERVERS_REASON];
static struct servers *servers;

/* rooster.ogg a dozen times, as a WAV file for pw-play. */
static void write_wav(const char *path)
{
    char clip[512];
    SF_INFO info = {0};
    snprintf(clip, sizeof clip, "%s/rooster.ogg", demo_dir());
    SNDFILE *in = sf_open(clip, SFM_READ, &info);
    assert_non_null(in);
    float *samples = calloc((size_t)info.frames * (size_t)info.channels, sizeof(float));
    assert_int_equal(sf_readf_float(in, samples, info.frames), info.frames);
    SF_INFO out_info = {.samplerate = info.samplerate,
                        .channels = info.channels,
                        .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *out = sf_open(path, SFM_WRITE, &out_info);
    assert_non_null(out);
    for (int i = 0; i < PLAYED_LOOPS; i++)
        assert_int_equal(sf_writef_float(out, samples, info.frames), info.frames);
    sf_close(out);
    sf_close(in);
    free(samples);
}

static int play(const char *path)
{
    const char *const argv[] = {"pw-play", "--target", SERVERS_SINK, path, NULL};
    int id = servers_run(servers, argv);
    assert_true(id >= 0);
    return id;
}

/* The next label that is not silence, from position `from` on. */
static void next_label(struct focal *focal, uint64_t from, struct focal_message *m,
                       double timeout_s)
{
    double end = seconds_now() + timeout_s;
    while (seconds_now() < end) {
        const char *label;
        if (focal_next(focal, m, 1000) == 1 && strcmp(m->topic, "label") == 0 && m->first >= from &&
            focal_string(focal, "top.0.label", &label) == 0)
            return;
    }
    fail_msg("no label within %g s", timeout_s);
}

static void wait_for_state(const struct focald_process *f, const char *state, double timeout_s)
{
    char wanted[64];
    double end = seconds_now() + timeout_s;
    snprintf(wanted, sizeof wanted, "\"%s\"", state);
    while (seconds_now() < end) {
        char *reply = focald_request(f, "{\"cmd\":\"streams\"}", true);
        bool there = strstr(reply, wanted) != NULL;
        free(reply);
        if (there)
            return;
        usleep(100000);
    }
    fail_msg("the source never came to the state %s", state);
}

static void a_server_that_restarts_is_a_gap_in_the_timeline(void **state)
{
    (void)state;
    struct focald_process focald;
    struct focal_message m;
    char wav[512];
    snprintf(wav, sizeof wav, "%s/rooster.wav", servers_dir(servers));
    write_wav(wav);
    int player = play(wav);
    focald_start(&focald, "[stream pw]\nsource = pipewire:" SERVERS_SINK ".monitor\n");
    struct focal *focal = focald_client(&focald, "label/");
    next_label(focal, 0, &m, 20);
    uint64_t first = m.first;
    int64_t t_ns = m.t_ns;
    assert_true(focald_status(&focald, "streams.0.rate_hz") >= 8000);

    servers_end(servers, player);
    servers_stop_pipewire(servers);
    wait_for_state(&focald, "waiting", 10);
    assert_true(focald_logged(&focald, "waiting for PipeWire"));
    sleep(AWAY_S);
    if (!servers_start_pipewire(servers, reason))
        fail_msg("the server did not come back: %s", reason);
    player = play(wav);
    wait_for_state(&focald, "running", 20);
    next_label(focal, first + (AWAY_S + 5) * (uint64_t)RATE, &m, 30);
    assert_true(focald_status(&focald, "streams.0.reconnects") >= 1);
    assert_true(focald_status(&focald, "streams.0.missed_samples") >= AWAY_S * RATE);
    /* the timeline has moved as far as the clock on the wall */
    double moved_s = (double)(m.first - first) / RATE, passed_s = (double)(m.t_ns - t_ns) * 1e-9;
    printf("the timeline moved by %.3f s while %.3f s passed\n", moved_s, passed_s);
    assert_true(fabs(moved_s - passed_s) < 0.25);

    servers_end(servers, player);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
    focald_clean(&focald);
}

static void wait_for_word(const struct focald_process *f, bool (*there)(const char *), double s)
{
    for (double end = seconds_now() + s; seconds_now() < end; usleep(100000)) {
        char *reply = focald_request(f, "{\"cmd\":\"streams\"}", true);
        const bool well = there(reply);
        free(reply);
        if (well)
            return;
    }
    fail_msg("health never said so");
}

static bool is_deaf(const char *streams)
{
    return strstr(streams, "\"running\"") != NULL && strstr(streams, "no audio comes") != NULL;
}

static bool is_well(const char *streams)
{
    return strstr(streams, "\"ok\":true") != NULL;
}

static void a_server_that_hangs_is_a_problem_until_audio_comes_again(void **state)
{
    (void)state;
    struct focald_process focald;
    focald_start(&focald, "[stream pw]\nsource = pipewire:" SERVERS_SOURCE "\n");
    wait_for_state(&focald, "running", 20);
    wait_for_word(&focald, is_well, 10);
    servers_hang_pipewire(servers, true);
    wait_for_word(&focald, is_deaf, 10);
    sleep(2); /* told once */
    servers_hang_pipewire(servers, false);
    wait_for_word(&focald, is_well, 10);
    for (double end = seconds_now() + 5; seconds_now() < end && !focald_logged(&focald, "again");)
        usleep(100000);
    assert_true(focald_logged(&focald, "no audio comes"));
    assert_true(focald_logged(&focald, "audio comes again"));
    assert_int_equal(focald_stop(&focald, NULL), 0);
    focald_clean(&focald);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_hangs_is_a_problem_until_audio_comes_again),
        cmocka_unit_test(a_server_that_restarts_is_a_gap_in_the_timeline),
    };
    servers = servers_new();
    if (servers == NULL || !servers_has_program("pw-play") ||
        !servers_start_pipewire(servers, reason)) {
        printf("skipped: %s\n", reason[0] != '\0' ? reason : "pw-play is not installed");
        servers_free(servers);
        return SKIPPED;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    servers_free(servers);
    return failed;
}
