/* SPDX-License-Identifier: Apache-2.0
 * A real PipeWire with a null sink: what pw-play plays arrives sample by sample, and neither the
 * server's nor a node's end is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/sources/listener.h"
#include "tests/daemon/sources/servers.h"

enum { RING_BYTES = 4 << 20, SIGNAL_FRAMES = 60000, CHANNELS = 2, SCALE = 1 << 18 };

static struct servers *servers;
static char wav[256];

/* Frame n of the signal: exact, never 0, each channel its own. */
static float sample(uint64_t n, uint32_t c)
{
    return (float)(c == 0 ? n + 1 : 2 * SIGNAL_FRAMES - n) / (float)SCALE;
}

/* Silence follows it: pw-play ends with its file, not with the graph's last cycle. */
static void write_signal(void)
{
    SF_INFO info = {.samplerate = SERVERS_RATE_HZ,
                    .channels = CHANNELS,
                    .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    snprintf(wav, sizeof wav, "%s/signal.wav", servers_dir(servers));
    SNDFILE *file = sf_open(wav, SFM_WRITE, &info);
    assert_non_null(file);
    for (uint64_t n = 0; n < SIGNAL_FRAMES + SERVERS_RATE_HZ / 4; n++) {
        bool silent = n >= SIGNAL_FRAMES;
        float frame[CHANNELS] = {silent ? 0 : sample(n, 0), silent ? 0 : sample(n, 1)};
        assert_int_equal(sf_writef_float(file, frame, 1), 1);
    }
    sf_close(file);
}

static int play_to(const char *sink)
{
    const char *const argv[] = {"pw-play", "--target", sink, wav, NULL};
    return servers_run(servers, argv);
}

/* Sees all of the signal pass, each frame the next, but for what is told as lost. Zeros between
 * (the signal has none) are the player's: on a busy machine pw-play misses a cycle and goes on in
 * the next, which the sink plays as silence. */
static void expect_whole_signal(struct listener *l)
{
    uint64_t n = 0, silence = 0, within = 0, lost = 0;
    while (n < SIGNAL_FRAMES) {
        struct ring_block b = listener_block(l, 5);
        assert_int_equal(b.channels, CHANNELS);
        assert_int_equal(b.rate_hz, SERVERS_RATE_HZ);
        assert_true((double)b.t_ns * 1e-9 <= listener_now());
        assert_true((double)b.t_ns * 1e-9 > listener_now() - 10);
        uint64_t may_miss = n > 0 ? b.lost_frames : 0;
        for (uint32_t i = 0; i < b.frames && n < SIGNAL_FRAMES; i++) {
            const float *frame = b.samples + (size_t)i * CHANNELS;
            if (frame[0] == 0 && frame[1] == 0) {
                within += n > 0;
                if (++silence > 15 * SERVERS_RATE_HZ)
                    fail_msg("the signal does not come on after frame %llu", (unsigned long long)n);
                continue;
            }
            uint64_t came = (uint64_t)lrint((double)frame[0] * SCALE) - 1;
            if (came > n && came - n <= may_miss) {
                lost += came - n;
                n = came;
            }
            may_miss = 0;
            for (uint32_t c = 0; c < CHANNELS; c++)
                if (frame[c] != sample(n, c))
                    fail_msg("frame %llu, channel %u: %.9g is not %.9g", (unsigned long long)n, c,
                             (double)frame[c], (double)sample(n, c));
            n++;
        }
    }
    if (within + lost > 0)
        print_message("the player was late by %llu frames; %llu were lost and told\n",
                      (unsigned long long)within, (unsigned long long)lost);
    if (!(lost < SIGNAL_FRAMES / 2))
        fail_msg("most of the signal was lost");
}

static void capture_signal(const char *spec)
{
    struct listener l;
    assert_int_equal(listener_start(&l, spec, RING_BYTES, NULL), 0);
    struct source_status s = listener_wait(&l, SOURCE_RUNNING, true, 10);
    assert_int_equal(listener_block(&l, 5).flags, 0);
    int player = play_to(SERVERS_SINK);
    expect_whole_signal(&l);
    l.source->ops->status(l.source, &s);
    assert_int_equal(s.state, SOURCE_RUNNING);
    assert_int_equal(s.rate_hz, SERVERS_RATE_HZ);
    assert_int_equal(s.channels, CHANNELS);
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, player);
}

static void what_a_sink_plays_arrives_sample_by_sample(void **state)
{
    capture_signal("pipewire:" SERVERS_SINK);
}

static void a_monitor_can_be_named_outright(void **state)
{
    capture_signal("pipewire:" SERVERS_SINK ".monitor");
}

static void a_node_can_be_named_by_its_id(void **state)
{
    char line[512], spec[64] = "";
    int id = -1;
    FILE *nodes = popen("pw-cli ls Node", "r");
    assert_non_null(nodes);
    while (fgets(line, sizeof line, nodes) != NULL) {
        sscanf(line, " id %d,", &id);
        if (strstr(line, "node.name = \"" SERVERS_SINK "\"") != NULL)
            snprintf(spec, sizeof spec, "pipewire:%d", id);
    }
    pclose(nodes);
    assert_true(spec[0] != '\0');
    capture_signal(spec);
}

static void the_default_source_runs_on_the_machines_clock(void **state)
{
    struct listener l;
    int64_t last_ns = 0;
    uint32_t last_frames = 0;
    assert_int_equal(listener_start(&l, "pipewire", RING_BYTES, NULL), 0);
    listener_wait(&l, SOURCE_RUNNING, false, 10);
    for (int i = 0; i < 20; i++) {
        struct ring_block b = listener_block(&l, 5);
        assert_true(b.frames > 0);
        assert_int_equal(b.rate_hz, SERVERS_RATE_HZ);
        if (i > 0) {
            double step = (double)(b.t_ns - last_ns) * 1e-9;
            double sound = (double)(last_frames + b.lost_frames) / SERVERS_RATE_HZ;
            if (!(fabs(step - sound) < 0.1)) /* a busy machine wakes up late */
                fail_msg("block %d is %g s after one of %g s", i, step, sound);
        }
        last_ns = b.t_ns;
        last_frames = b.frames;
    }
    assert_true(listener_stop(&l) < 0.5);
}

static void what_it_lists_are_sources_and_monitors(void **state)
{
    struct source_entry entries[64];
    struct error error;
    bool sink = false, source = false;
    double began = listener_now();
    assert_true(source_pipewire.probe());
    assert_true(listener_now() - began < 1.0);
    int n = source_pipewire.list(entries, 64, &error);
    assert_true(n >= 2);
    assert_int_equal(source_pipewire.list(NULL, 0, &error), n);
    for (int i = 0; i < n && i < 64; i++) {
        sink |= strcmp(entries[i].spec, "pipewire:" SERVERS_SINK ".monitor") == 0 &&
                strstr(entries[i].description, "Test sink") != NULL;
        source |= strcmp(entries[i].spec, "pipewire:" SERVERS_SOURCE) == 0;
    }
    assert_true(sink);
    assert_true(source);
}

static void auto_takes_pipewire_first(void **state)
{
    const struct source_ops *ops;
    const char *spec;
    struct error error;
    assert_int_equal(source_find("auto", &ops, &spec, &error), 0);
    assert_ptr_equal(ops, &source_pipewire);
    assert_string_equal(spec, "");
}

static int make_sink(const char *props)
{
    const char *const argv[] = {"pw-loopback", "--capture-props", props, NULL};
    return servers_run(servers, argv);
}

static void a_node_that_goes_is_waited_for(void **state)
{
    static const char props[] = "media.class=Audio/Sink node.name=focald-test-guest";
    struct listener l;
    int sink;
    assert_int_equal(listener_start(&l, "pipewire:focald-test-guest", RING_BYTES, NULL), 0);
    struct source_status s = listener_wait(&l, SOURCE_WAITING, true, 5);
    assert_non_null(strstr(s.text, "focald-test-guest"));
    sink = make_sink(props);
    listener_wait(&l, SOURCE_RUNNING, false, 10);
    assert_int_equal(listener_block(&l, 5).flags, 0); /* the first time is no restart */
    servers_kill(servers, sink);
    s = listener_wait(&l, SOURCE_WAITING, true, 10);
    listener_sleep(0.1);
    listener_drain(&l);
    sink = make_sink(props);
    assert_int_equal(listener_block(&l, 10).flags, RING_RESTART);
    assert_int_equal(listener_block(&l, 5).flags, 0); /* told once */
    s = listener_wait(&l, SOURCE_RUNNING, true, 5);
    assert_int_equal(s.reconnects, 1);
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, sink);
}

static void a_server_that_goes_is_waited_for(void **state)
{
    struct listener l;
    char reason[SERVERS_REASON];
    assert_int_equal(listener_start(&l, "pipewire:" SERVERS_SINK, RING_BYTES, NULL), 0);
    listener_wait(&l, SOURCE_RUNNING, true, 10);
    listener_block(&l, 5);
    servers_kill_pipewire(servers);
    listener_wait(&l, SOURCE_WAITING, true, 5);
    listener_sleep(0.7);
    listener_drain(&l);
    if (!servers_start_pipewire(servers, reason))
        fail_msg("%s", reason);
    assert_int_equal(listener_block(&l, 10).flags, RING_RESTART);
    struct source_status s = listener_wait(&l, SOURCE_RUNNING, true, 5);
    assert_int_equal(s.reconnects, 1);
    int player = play_to(SERVERS_SINK);
    expect_whole_signal(&l); /* and all is as before */
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, player);
}

static void a_server_that_never_came_does_not_hold_up_a_stop(void **state)
{
    struct listener l;
    struct error error;
    struct source_entry entry;
    const struct source_ops *ops;
    const char *spec;
    servers_stop_pipewire(servers);
    double began = listener_now();
    assert_false(source_pipewire.probe());
    assert_true(listener_now() - began < 1.0);
    assert_int_equal(source_pipewire.list(&entry, 1, &error), -ENODEV);
    assert_int_equal(source_find("auto", &ops, &spec, &error), -ENODEV);
    assert_non_null(strstr(error.text, "PipeWire"));
    assert_non_null(strstr(error.text, "JACK"));
    assert_int_equal(listener_start(&l, "pipewire", RING_BYTES, NULL), 0);
    struct source_status s = listener_wait(&l, SOURCE_WAITING, false, 2);
    assert_non_null(strstr(s.text, "PipeWire"));
    assert_true(listener_stop(&l) < 0.5);
}

static int finish(void **state)
{
    servers_free(servers);
    return 0;
}

int main(void)
{
    char reason[SERVERS_REASON] = "no temporary directory";
    setenv("JACK_DEFAULT_SERVER", "focald-test-none", 1); /* whatever else runs here */
    servers = servers_new();
    if (servers == NULL || !servers_start_pipewire(servers, reason)) {
        printf("skipped: %s\n", reason);
        servers_free(servers);
        return 77;
    }
    write_signal();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_lists_are_sources_and_monitors),
        cmocka_unit_test(auto_takes_pipewire_first),
        cmocka_unit_test(the_default_source_runs_on_the_machines_clock),
        cmocka_unit_test(what_a_sink_plays_arrives_sample_by_sample),
        cmocka_unit_test(a_monitor_can_be_named_outright),
        cmocka_unit_test(a_node_can_be_named_by_its_id),
        cmocka_unit_test(a_node_that_goes_is_waited_for),
        cmocka_unit_test(a_server_that_goes_is_waited_for),
        cmocka_unit_test(a_server_that_never_came_does_not_hold_up_a_stop),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
