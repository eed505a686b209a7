/* SPDX-License-Identifier: Apache-2.0
 * A real JACK server, a client that plays a counted signal, and the source that captures it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jack/jack.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/sources/listener.h"
#include "tests/daemon/sources/servers.h"

enum { RING_BYTES = 4 << 20, PERIOD = 1 << 20, MAX_PORTS = 4 };

static struct servers *servers;

/* The player, a process of its own */

/* Plays n/PERIOD on its first port, and the same shifted by PERIOD/8 on each further one. */
struct player {
    jack_client_t *client;
    int n_ports;
    jack_port_t *ports[MAX_PORTS];
    uint64_t n;
};

static float played(uint64_t n, int port)
{
    return (float)((n + (uint64_t)port * (PERIOD / 8)) % PERIOD + 1) / (float)(2 * PERIOD);
}

static int play(jack_nframes_t frames, void *arg)
{
    struct player *p = arg;
    for (int c = 0; c < p->n_ports; c++) {
        float *to = jack_port_get_buffer(p->ports[c], frames);
        for (jack_nframes_t i = 0; i < frames; i++)
            to[i] = played(p->n + i, c);
    }
    p->n += frames;
    return 0;
}

/* test_source_jack --play NAME PORTS DELAY_MS: registers its ports, and is active after the delay.
 */
static int player_main(char **argv)
{
    struct player p = {.client = jack_client_open(argv[2], JackNoStartServer, NULL)};
    int n_ports = atoi(argv[3]), number;
    sigset_t end;
    if (p.client == NULL)
        return 1;
    jack_set_process_callback(p.client, play, &p);
    for (p.n_ports = 0; p.n_ports < n_ports; p.n_ports++) {
        char port[16];
        snprintf(port, sizeof port, "out_%d", p.n_ports + 1);
        p.ports[p.n_ports] =
            jack_port_register(p.client, port, JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput, 0);
    }
    listener_sleep(atoi(argv[4]) / 1000.0);
    if (jack_activate(p.client) != 0)
        return 1;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigwait(&end, &number);
    jack_client_close(p.client);
    return 0;
}

static bool has_port(const char *port)
{
    static struct source_entry entries[64];
    struct error error;
    char text[300];
    int n = source_jack.list(entries, 64, &error);
    snprintf(text, sizeof text, "JACK output port %s", port);
    for (int i = 0; i < n && i < 64; i++)
        if (strcmp(entries[i].description, text) == 0)
            return true;
    return false;
}

/* Returns the player's id for servers_end, once its last port is there. */
static int start_player(const char *name, const char *ports, const char *delay_ms)
{
    const char *const argv[] = {"/proc/self/exe", "--play", name, ports, delay_ms, NULL};
    char last[128];
    int id = servers_run(servers, argv);
    snprintf(last, sizeof last, "%s:out_%s", name, ports);
    for (int i = 0; i < 250; i++) {
        if (has_port(last))
            return id;
        listener_sleep(0.02);
    }
    fail_msg("the player %s does not come up", name);
    return -1;
}

/* Reads until the signal is there on each port, then `frames` more of it, each the next. Returns
 * the flags of all blocks seen. */
static uint32_t expect_signal(struct listener *l, uint32_t channels, uint64_t frames)
{
    struct source_status s;
    uint64_t n = 0, at = 0, waited = 0;
    uint32_t flags = 0;
    int64_t last_end_ns = 0;
    while (n < frames) {
        struct ring_block b = listener_block(l, 5);
        flags |= b.flags;
        bool there = b.channels == channels;
        for (uint32_t c = 0; there && c < channels; c++)
            there = b.samples[c] != 0;
        if (n == 0 && !there) {
            waited += b.frames;
            if (waited > 10 * SERVERS_RATE_HZ)
                fail_msg("the signal does not come (%u of %u channels)", b.channels, channels);
            continue;
        }
        if (n == 0)
            at = (uint64_t)lrint((double)b.samples[0] * 2 * PERIOD) - 1;
        else
            assert_int_equal(b.lost_frames, 0);
        assert_int_equal(b.channels, channels);
        assert_int_equal(b.rate_hz, SERVERS_RATE_HZ);
        for (uint32_t i = 0; i < b.frames; i++)
            for (uint32_t c = 0; c < channels; c++)
                if (b.samples[i * channels + c] != played(at + i, (int)c))
                    fail_msg("after %llu frames, channel %u: %.9g is not %.9g",
                             (unsigned long long)(n + i), c, (double)b.samples[i * channels + c],
                             (double)played(at + i, (int)c));
        if (n > 0) /* captured before it was told, and later than the block before it */
            assert_true(b.t_ns > last_end_ns - 50 * 1000 * 1000);
        assert_true((double)b.t_ns * 1e-9 <= listener_now());
        assert_true((double)b.t_ns * 1e-9 > listener_now() - 30);
        last_end_ns = b.t_ns;
        at += b.frames;
        n += b.frames;
    }
    l->source->ops->status(l->source, &s);
    assert_int_equal(s.state, SOURCE_RUNNING);
    assert_int_equal(s.channels, channels);
    assert_int_equal(s.rate_hz, SERVERS_RATE_HZ);
    return flags;
}

/* Promises */

static void a_matching_port_is_captured_without_a_lost_sample(void **state)
{
    int player;
    struct listener l;
    player = start_player("player", "1", "0");
    assert_int_equal(listener_start(&l, "jack:^player:out_", RING_BYTES, NULL), 0);
    assert_int_equal(expect_signal(&l, 1, SERVERS_RATE_HZ), 0);
    assert_int_equal(ring_lost(l.ring), 0);
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, player);
}

static void each_matching_port_is_a_channel_in_order(void **state)
{
    int player;
    struct listener l;
    player = start_player("player", "3", "0");
    assert_int_equal(listener_start(&l, "jack:player:out_[123]", RING_BYTES, NULL), 0);
    expect_signal(&l, 3, SERVERS_RATE_HZ / 10);
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, player);
}

static void ports_of_its_own_wait_for_the_user(void **state)
{
    int player;
    struct listener l;
    player = start_player("player", "2", "0");
    struct source_config config = {.name = "desk"};
    assert_int_equal(listener_start(&l, "jack:2", RING_BYTES, &config), 0);
    struct source_status s = listener_wait(&l, SOURCE_RUNNING, true, 5);
    assert_int_equal(s.channels, 2);
    struct ring_block b = listener_block(&l, 5);
    assert_true(b.samples[0] == 0); /* nobody is connected */
    jack_client_t *user = jack_client_open("user", JackNoStartServer, NULL);
    assert_non_null(user);
    assert_int_equal(jack_connect(user, "player:out_1", "focald-desk:in_1"), 0);
    assert_int_equal(jack_connect(user, "player:out_2", "focald-desk:in_2"), 0);
    expect_signal(&l, 2, SERVERS_RATE_HZ / 10);
    jack_client_close(user);
    listener_stop(&l);
    servers_end(servers, player);
}

static void a_port_that_comes_later_is_connected_once_it_is_active(void **state)
{
    int player;
    struct listener l;
    struct source_config config = {.jack_autoconnect = "^late:out_"};
    assert_int_equal(listener_start(&l, "jack", RING_BYTES, &config), 0);
    struct source_status s = listener_wait(&l, SOURCE_RUNNING, true, 5);
    assert_int_equal(s.channels, 1);
    player = start_player("late", "2", "400");  /* registered, but not yet to be connected */
    expect_signal(&l, 2, SERVERS_RATE_HZ / 10); /* and there is a channel for each */
    listener_stop(&l);
    servers_end(servers, player);
}

static void a_server_that_is_away_is_waited_for_and_comes_back(void **state)
{
    int player;
    struct listener l;
    char reason[SERVERS_REASON];
    player = start_player("player", "2", "0");
    assert_int_equal(listener_start(&l, "jack:^player:out_", RING_BYTES, NULL), 0);
    expect_signal(&l, 2, SERVERS_RATE_HZ / 10);
    servers_kill_jack(servers);
    listener_wait(&l, SOURCE_WAITING, true, 5);
    servers_end(servers, player);
    listener_sleep(0.3);
    if (!servers_start_jack(servers, reason))
        fail_msg("%s", reason);
    player = start_player("player", "2", "0");
    assert_int_equal(expect_signal(&l, 2, SERVERS_RATE_HZ / 10), RING_RESTART);
    struct source_status s;
    l.source->ops->status(l.source, &s);
    assert_int_equal(s.reconnects, 1);
    assert_true(listener_stop(&l) < 0.5);
    servers_end(servers, player);
}

static void two_sources_in_one_process_both_come_back(void **state)
{
    struct listener a, b;
    char reason[SERVERS_REASON];
    struct source_config names[] = {{.name = "left"}, {.name = "right"}};
    int player = start_player("player", "2", "0");
    assert_int_equal(listener_start(&a, "jack:player:out_1", RING_BYTES, &names[0]), 0);
    assert_int_equal(listener_start(&b, "jack:player:out_[12]", RING_BYTES, &names[1]), 0);
    expect_signal(&a, 1, SERVERS_RATE_HZ / 10);
    expect_signal(&b, 2, SERVERS_RATE_HZ / 10);
    for (int i = 0; i < 2; i++) {
        servers_kill_jack(servers);
        listener_wait(&a, SOURCE_WAITING, true, 5);
        listener_wait(&b, SOURCE_WAITING, true, 5);
        servers_end(servers, player);
        if (!servers_start_jack(servers, reason))
            fail_msg("%s", reason);
        player = start_player("player", "2", "0");
        expect_signal(&a, 1, SERVERS_RATE_HZ / 10);
        listener_drain(&b);
        expect_signal(&b, 2, SERVERS_RATE_HZ / 10);
    }
    assert_true(listener_stop(&a) < 0.5);
    assert_true(listener_stop(&b) < 0.5);
    servers_end(servers, player);
}

static void a_server_that_never_came_does_not_hold_up_a_stop(void **state)
{
    struct listener l;
    char reason[SERVERS_REASON];
    struct error error;
    struct source_entry entry;
    servers_stop_jack(servers);
    double began = listener_now();
    assert_false(source_jack.probe());
    assert_true(listener_now() - began < 1.0);
    assert_int_equal(source_jack.list(&entry, 1, &error), -ENODEV);
    assert_int_equal(listener_start(&l, "jack", RING_BYTES, NULL), 0);
    struct source_status s = listener_wait(&l, SOURCE_WAITING, false, 2);
    assert_non_null(strstr(s.text, "JACK"));
    assert_true(listener_stop(&l) < 0.5);
    if (!servers_start_jack(servers, reason))
        fail_msg("%s", reason);
}

/* libjack waits for ever for a server that is there and does not answer. */
static void a_server_that_hangs_does_not_hold_up_a_stop(void **state)
{
    struct listener a, b;
    struct source_config names[] = {{.name = "left"}, {.name = "right"}};
    int player = start_player("player", "2", "0");
    assert_int_equal(listener_start(&a, "jack:player:out_1", RING_BYTES, &names[0]), 0);
    assert_int_equal(listener_start(&b, "jack:player:out_2", RING_BYTES, &names[1]), 0);
    expect_signal(&a, 1, SERVERS_RATE_HZ / 10);
    expect_signal(&b, 1, SERVERS_RATE_HZ / 10);
    servers_hang_jack(servers, true);
    double took = listener_stop(&a); /* and their rings are gone */
    took += listener_stop(&b);
    servers_hang_jack(servers, false);
    if (!(took < 0.8))
        fail_msg("the stops took %.2f s", took);
    listener_sleep(0.5); /* what was left behind ends now */
    assert_int_equal(listener_start(&a, "jack:player:out_1", RING_BYTES, &names[0]), 0);
    expect_signal(&a, 1, SERVERS_RATE_HZ / 10);
    assert_true(listener_stop(&a) < 0.5);
    servers_end(servers, player);
}

static void a_server_that_hangs_is_not_waited_for_when_asked(void **state)
{
    struct source_entry entry;
    struct error error;
    struct listener l;
    servers_hang_jack(servers, true);
    double began = listener_now();
    bool answers = source_jack.probe();
    double first = listener_now() - began;
    bool again = source_jack.probe(); /* while the first still waits */
    double second = listener_now() - began - first;
    int n = source_jack.list(&entry, 1, &error);
    int r = listener_start(&l, "jack", RING_BYTES, NULL);
    listener_sleep(0.2);
    double stop = r == 0 ? listener_stop(&l) : 0;
    servers_hang_jack(servers, false);
    assert_false(answers);
    assert_false(again);
    assert_true(first < 1.1);
    assert_true(second < 0.1);
    assert_true(n < 0);
    assert_int_equal(r, 0);
    assert_true(stop < 0.5);
    for (int i = 0; i < 100 && !source_jack.probe(); i++)
        listener_sleep(0.05);
    assert_true(source_jack.probe());
}

static void what_it_lists_can_be_captured(void **state)
{
    int player;
    struct source_entry entries[64];
    struct error error;
    struct listener l;
    int found = -1;
    player = start_player("player (1.5+)", "2", "0");
    double began = listener_now();
    assert_true(source_jack.probe());
    assert_true(listener_now() - began < 1.0);
    int n = source_jack.list(entries, 64, &error);
    assert_true(n >= 2);
    assert_int_equal(source_jack.list(NULL, 0, &error), n);
    for (int i = 0; i < n && i < 64; i++)
        if (strstr(entries[i].description, "player (1.5+):out_1") != NULL)
            found = i;
    assert_true(found >= 0);
    assert_int_equal(listener_start(&l, entries[found].spec, RING_BYTES, NULL), 0);
    expect_signal(&l, 1, SERVERS_RATE_HZ / 10);
    listener_stop(&l);
    servers_end(servers, player);
}

static void a_spec_that_cannot_work_is_refused(void **state)
{
    struct listener l;
    assert_int_equal(listener_start(&l, "jack:0", RING_BYTES, NULL), -EINVAL);
    assert_int_equal(listener_start(&l, "jack:65", RING_BYTES, NULL), -EINVAL);
    assert_int_equal(listener_start(&l, "jack:(", RING_BYTES, NULL), -EINVAL);
    assert_non_null(strstr(l.error.text, "\"(\""));
    struct source_config config = {.jack_autoconnect = "["};
    assert_int_equal(listener_start(&l, "jack:2", RING_BYTES, &config), -EINVAL);
}

static int finish(void **state)
{
    servers_free(servers);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--play") == 0) {
        sigset_t end; /* before JACK's threads: only sigwait gets it */
        sigemptyset(&end);
        sigaddset(&end, SIGTERM);
        sigprocmask(SIG_BLOCK, &end, NULL);
        return player_main(argv);
    }
    char reason[SERVERS_REASON] = "no temporary directory";
    servers = servers_new();
    if (servers == NULL || !servers_start_jack(servers, reason)) {
        printf("skipped: %s\n", reason);
        servers_free(servers);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_matching_port_is_captured_without_a_lost_sample),
        cmocka_unit_test(each_matching_port_is_a_channel_in_order),
        cmocka_unit_test(ports_of_its_own_wait_for_the_user),
        cmocka_unit_test(a_port_that_comes_later_is_connected_once_it_is_active),
        cmocka_unit_test(what_it_lists_can_be_captured),
        cmocka_unit_test(a_server_that_hangs_does_not_hold_up_a_stop),
        cmocka_unit_test(a_server_that_hangs_is_not_waited_for_when_asked),
        cmocka_unit_test(a_server_that_is_away_is_waited_for_and_comes_back),
        cmocka_unit_test(two_sources_in_one_process_both_come_back),
        cmocka_unit_test(a_server_that_never_came_does_not_hold_up_a_stop),
        cmocka_unit_test(a_spec_that_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
