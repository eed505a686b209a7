/* SPDX-License-Identifier: Apache-2.0
 * What a PipeWire source makes of change: cycles that pass without it, rates, channels, nodes under
 * other names, servers that hang. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/daemon/sources/listener.h"
#include "tests/daemon/sources/servers.h"

enum {
    RING_BYTES = 8 << 20,
    PLAY_FRAMES = 2 * SERVERS_RATE_HZ,
    PAD_FRAMES = SERVERS_RATE_HZ / 2 /* silence after it: pw-play cuts what it has in hand */
};

static struct servers *servers;
static struct listener listener;
static bool listening;

static int try_start(const char *spec)
{
    int r = listener_start(&listener, spec, RING_BYTES, NULL);
    listening = r == 0;
    return r;
}

static struct listener *start(const char *spec)
{
    if (try_start(spec) < 0)
        fail_msg("%s", listener.error.text);
    return &listener;
}

static double stop(void)
{
    listening = false;
    return listener_stop(&listener);
}

/* After a test that failed. */
static int stop_listening(void **state)
{
    if (listening)
        stop();
    return 0;
}

static void need_pipewire(void)
{
    char reason[SERVERS_REASON];
    if (!servers_start_pipewire(servers, reason))
        fail_msg("%s", reason);
}

/* Commands of PipeWire's own tools, as a user would type them. */
static void do_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void do_command(const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(command, sizeof command - 32, format, args);
    va_end(args);
    snprintf(command + n, sizeof command - (size_t)n, " >/dev/null 2>&1");
    if (system(command) != 0)
        fail_msg("%s failed", command);
}

static void create_sink(const char *name, const char *positions)
{
    do_command("pw-cli create-node adapter '{ factory.name=support.null-audio-sink node.name=%s "
               "media.class=Audio/Sink object.linger=true audio.position=[ %s ] }'",
               name, positions);
}

/* Reads until a block of this format comes. */
static struct ring_block wait_format(struct listener *l, uint32_t rate, uint32_t channels)
{
    double end = listener_now() + 10;
    for (;;) {
        struct ring_block b = listener_block(l, 10);
        if (b.rate_hz == rate && b.channels == channels)
            return b;
        if (listener_now() > end)
            fail_msg("blocks of %u Hz and %u channels, not %u Hz and %u", b.rate_hz, b.channels,
                     rate, channels);
    }
}

/* Cycles without us */

/* Audio frame n of the clip, exact; the right channel is its negative. Never 0, so that silence is
 * told apart. */
static float clip_sample(long n)
{
    return (float)(n + 1) / (float)(1 << 20);
}

static void write_clip(const char *path)
{
    SF_INFO info = {
        .samplerate = SERVERS_RATE_HZ, .channels = 2, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    float *clip = calloc((size_t)(PLAY_FRAMES + PAD_FRAMES) * 2, sizeof *clip);
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(clip);
    assert_non_null(file);
    for (long n = 0; n < PLAY_FRAMES; n++) {
        clip[2 * n] = clip_sample(n);
        clip[2 * n + 1] = -clip_sample(n);
    }
    assert_int_equal(sf_writef_float(file, clip, PLAY_FRAMES + PAD_FRAMES),
                     PLAY_FRAMES + PAD_FRAMES);
    sf_close(file);
    free(clip);
}

static int play_clip(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/clip.wav", servers_dir(servers));
    write_clip(path);
    const char *const argv[] = {"pw-play", "--target=" SERVERS_SINK, path, NULL};
    int id = servers_run(servers, argv);
    assert_true(id >= 0);
    return id;
}

struct following {
    long next;            /* frame of the clip; 0 before its begin */
    uint64_t lost, total; /* audio frames told as lost within the clip; and all of it */
    int64_t t_ns;         /* of the clip's first block */
    double worst_s;       /* largest error of a block's time */
};

/* The clip goes on where it stood, or where what was told as lost ends. Zeros within it are a
 * player's that was late itself. */
static void follow_frame(struct following *f, const float *at, uint64_t told)
{
    if (at[0] == 0.0f && at[1] == 0.0f)
        return;
    long n = (long)((double)at[0] * (1 << 20) + 0.5) - 1;
    if (at[0] != clip_sample(n) || at[1] != -clip_sample(n))
        fail_msg("%g and %g are no frame of the clip; %ld was due", (double)at[0], (double)at[1],
                 f->next);
    if (f->next > 0 && n != f->next + (long)told)
        fail_msg("frame %ld follows frame %ld with %llu told as lost", n, f->next - 1,
                 (unsigned long long)told);
    f->next = n + 1;
}

static void follow_block(struct following *f, const struct ring_block *b)
{
    if (f->next > 0) {
        f->lost += b->lost_frames;
        f->total += b->lost_frames;
        double off = (double)(b->t_ns - f->t_ns) * 1e-9 - (double)f->total / SERVERS_RATE_HZ;
        off = off < 0 ? -off : off;
        f->worst_s = off > f->worst_s ? off : f->worst_s;
        f->total += b->frames;
    }
    for (uint32_t i = 0; i < b->frames && f->next < PLAY_FRAMES; i++)
        follow_frame(f, b->samples + 2 * (size_t)i, i == 0 ? b->lost_frames : 0);
}

/* A machine so busy that this process does not run for 300 ms. */
static pid_t hold_up(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        kill(getppid(), SIGSTOP);
        listener_sleep(0.3);
        kill(getppid(), SIGCONT);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void cycles_without_us_are_counted_and_told(void **state)
{
    struct following f = {0};
    pid_t helper = 0;
    need_pipewire();
    struct listener *l = start("pipewire:" SERVERS_SINK ".monitor");
    listener_wait(l, SOURCE_RUNNING, true, 10);
    int player = play_clip();
    for (double end = listener_now() + 15; f.next < PLAY_FRAMES;) {
        struct ring_block b = listener_block(l, 5);
        assert_int_equal(b.channels, 2);
        assert_int_equal(b.rate_hz, SERVERS_RATE_HZ);
        bool begun = f.next > 0;
        follow_block(&f, &b);
        if (!begun && f.next > 0) {
            assert_true(f.next <= (long)b.frames); /* from its first frame on */
            f.t_ns = b.t_ns;
            f.total = b.frames;
            helper = hold_up();
        }
        if (listener_now() > end)
            fail_msg("the clip does not come on after frame %ld", f.next);
    }
    assert_int_equal(waitpid(helper, NULL, 0), helper);
    print_message("%llu frames, %llu of them lost and told; times right within %.3f ms\n",
                  (unsigned long long)f.total, (unsigned long long)f.lost, f.worst_s * 1000);
    assert_in_range(f.lost, SERVERS_RATE_HZ / 5, SERVERS_RATE_HZ);
    assert_true(f.worst_s < 0.005); /* and so time has not shifted */
    listener_sleep(0.1);
    assert_true(listener_wait(l, SOURCE_RUNNING, true, 1).xruns > 0);
    servers_end(servers, player);
    assert_true(stop() < 0.5);
}

/* Formats */

static void another_number_of_channels_is_followed(void **state)
{
    need_pipewire();
    struct listener *l = start("pipewire:six.monitor");
    struct source_status s = listener_wait(l, SOURCE_WAITING, false, 5);
    assert_non_null(strstr(s.text, "there is no node six"));
    create_sink("six", "FL FR FC LFE RL RR");
    s = listener_wait(l, SOURCE_RUNNING, true, 10);
    assert_int_equal(s.channels, 6);
    wait_format(l, SERVERS_RATE_HZ, 6);
    do_command("pw-cli destroy six");
    listener_wait(l, SOURCE_WAITING, true, 5);
    create_sink("six", "MONO");
    s = listener_wait(l, SOURCE_RUNNING, true, 10);
    assert_int_equal(s.channels, 1);
    assert_int_equal(s.reconnects, 1);
    wait_format(l, SERVERS_RATE_HZ, 1);
    do_command("pw-cli destroy six");
    assert_true(stop() < 0.5);
}

static void a_rate_that_changes_is_followed(void **state)
{
    need_pipewire();
    struct listener *l = start("pipewire:" SERVERS_SOURCE);
    listener_wait(l, SOURCE_RUNNING, true, 10);
    wait_format(l, 48000, 2);
    do_command("pw-metadata -n settings 0 clock.force-rate 44100");
    struct ring_block b = wait_format(l, 44100, 2);
    assert_true(b.flags & RING_RESTART); /* PipeWire pauses for it: time passed */
    listener_sleep(0.1);
    assert_int_equal(listener_wait(l, SOURCE_RUNNING, true, 5).rate_hz, 44100);
    do_command("pw-metadata -n settings 0 clock.force-rate 48000");
    wait_format(l, 48000, 2);
    assert_int_equal(listener_wait(l, SOURCE_RUNNING, true, 5).reconnects, 0);
    assert_true(stop() < 0.5);
}

/* Names */

static void a_node_may_be_named_by_what_people_call_it(void **state)
{
    static const char *const specs[] = {"pipewire:Test source", "pipewire:Test sink",
                                        "pipewire:Test sink.monitor"};
    static const char *const texts[] = {"capturing " SERVERS_SOURCE,
                                        "what is played on " SERVERS_SINK,
                                        "what is played on " SERVERS_SINK};
    need_pipewire();
    for (int i = 0; i < 3; i++) {
        struct listener *l = start(specs[i]);
        struct source_status s = listener_wait(l, SOURCE_RUNNING, true, 10);
        assert_non_null(strstr(s.text, texts[i]));
        stop();
    }
}

static void an_overlong_name_is_refused(void **state)
{
    char spec[600] = "pipewire:";
    memset(spec + strlen(spec), 'a', 400);
    assert_int_equal(try_start(spec), -EINVAL);
    assert_non_null(strstr(listener.error.text, "longer"));
}

/* Servers that hang */

/* A socket that takes connections and says nothing. */
static void a_server_that_hangs_holds_up_nobody(void **state)
{
    static const char *const specs[] = {"pipewire", "pipewire:" SERVERS_SOURCE};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    need_pipewire();
    servers_stop_pipewire(servers);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/pipewire-0", servers_dir(servers));
    unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 16), 0);
    double began = listener_now();
    assert_false(source_pipewire.probe());
    assert_true(listener_now() - began < 1.5); /* a second, and a busy machine's delay */
    for (int i = 0; i < 2; i++) {
        struct listener *l = start(specs[i]);
        listener_wait(l, SOURCE_WAITING, false, 3);
        assert_true(stop() < 0.5);
        start(specs[i]);
        listener_sleep(0.05);
        assert_true(stop() < 0.5); /* in the midst of connecting */
    }
    close(fd);
    unlink(address.sun_path);
}

int main(void)
{
    char reason[SERVERS_REASON] = "no temporary directory";
    servers = servers_new();
    if (servers == NULL || !servers_start_pipewire(servers, reason)) {
        printf("skipped: %s\n", reason);
        servers_free(servers);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(cycles_without_us_are_counted_and_told, stop_listening),
        cmocka_unit_test_teardown(another_number_of_channels_is_followed, stop_listening),
        cmocka_unit_test_teardown(a_rate_that_changes_is_followed, stop_listening),
        cmocka_unit_test_teardown(a_node_may_be_named_by_what_people_call_it, stop_listening),
        cmocka_unit_test_teardown(an_overlong_name_is_refused, stop_listening),
        cmocka_unit_test_teardown(a_server_that_hangs_holds_up_nobody, stop_listening),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    servers_free(servers);
    return failed;
}
