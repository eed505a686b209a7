/* SPDX-License-Identifier: Apache-2.0
 * A minute with a real jackd at 48 kHz and 64 frames, a JACK client that plays a known clip in a
 * loop, and both cores kept busy: no sample is lost, labels arrive, masked audio is aligned with
 * the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jack/jack.h>
#include <math.h>
#include <samplerate.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/daemon/sources/servers.h"
#include "tests/daemon/system/focald_process.h"

enum { RATE = 16000, LOOP_S = 5, LOOP = LOOP_S * RATE, RUN_S = 60, ROOM = (RUN_S + 30) * RATE };
enum { JACK_RATE = 48000, JACK_LOOP = LOOP_S * JACK_RATE, SKIPPED = 77 };

static char reason[SERVERS_REASON];
static struct servers *servers;

/* The player */

struct player {
    jack_client_t *client;
    jack_port_t *port;
    size_t at;
    float loop[JACK_LOOP];
};

static int play(jack_nframes_t frames, void *arg)
{
    struct player *p = arg;
    float *out = jack_port_get_buffer(p->port, frames);
    for (jack_nframes_t i = 0; i < frames; i++) {
        out[i] = p->loop[p->at];
        p->at = (p->at + 1) % JACK_LOOP;
    }
    return 0;
}

/* dog.ogg at JACK's rate, cut or padded to the loop's length. */
static void load_clip(struct player *p)
{
    char path[512];
    SF_INFO info = {0};
    snprintf(path, sizeof path, "%s/dog.ogg", demo_dir());
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    assert_non_null(file);
    float *samples = calloc((size_t)info.frames, sizeof(float));
    assert_non_null(samples);
    assert_int_equal(info.channels, 1);
    assert_int_equal(sf_readf_float(file, samples, info.frames), info.frames);
    sf_close(file);
    SRC_DATA data = {.data_in = samples,
                     .input_frames = (long)info.frames,
                     .data_out = p->loop,
                     .output_frames = JACK_LOOP,
                     .src_ratio = (double)JACK_RATE / info.samplerate};
    assert_int_equal(src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1), 0);
    free(samples);
}

static struct player *start_player(void)
{
    struct player *p = calloc(1, sizeof *p);
    assert_non_null(p);
    load_clip(p);
    p->client = jack_client_open("player", JackNoStartServer, NULL);
    assert_non_null(p->client);
    assert_int_equal(jack_get_sample_rate(p->client), JACK_RATE);
    p->port = jack_port_register(p->client, "out", JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput, 0);
    jack_set_process_callback(p->client, play, p);
    assert_int_equal(jack_activate(p->client), 0);
    return p;
}

static pid_t start_busy(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (volatile unsigned long i = 0;; i++)
        ;
}

/* The test */

struct heard {
    uint64_t first, end;
    float *x; /* [ROOM], by position from `first` of the input */
};

static void take_pcm(struct heard *h, const struct focal_message *m)
{
    if (h->end == 0)
        h->first = h->end = m->first;
    assert_int_equal(m->first, h->end); /* contiguous */
    assert_int_equal(m->lost, 0);
    assert_true(m->first - h->first + m->count <= ROOM);
    memcpy(h->x + (m->first - h->first), m->payload, m->payload_bytes);
    h->end += m->count;
}

/* Largest difference of the input from itself one loop later: a lost or doubled sample would shift
 * it. */
static double loop_difference(const struct heard *h)
{
    double worst = 0;
    for (uint64_t i = RATE; i + LOOP < h->end - h->first; i++) {
        double d = fabs((double)h->x[i] - (double)h->x[i + LOOP]);
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static double alignment_difference(const struct heard *input, const struct heard *audio)
{
    uint64_t from = input->first > audio->first ? input->first : audio->first;
    uint64_t to = input->end < audio->end ? input->end : audio->end;
    double worst = 0;
    printf("%.1f s of sound compared\n", (double)(to - from) / RATE);
    assert_true(to > from + (RUN_S - 10) * (uint64_t)RATE);
    for (uint64_t i = from; i < to; i++) {
        double d = fabs((double)input->x[i - input->first] - (double)audio->x[i - audio->first]);
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static void a_minute_of_jack_on_a_busy_machine_loses_nothing(void **state)
{
    (void)state;
    struct focald_process focald;
    struct player *player = start_player();
    struct heard input = {.x = calloc(ROOM, sizeof(float))};
    struct heard audio = {.x = calloc(ROOM, sizeof(float))};
    pid_t busy[2];
    uint64_t labels = 0;
    /* q = 0 keeps every cell, so that the interpretation must be the input itself */
    focald_start(&focald, "[stream jack]\nsource = jack:^player:out$\n"
                          "[analysis]\nquantile = 0\nsilence_gate = -120 dBFS\n");
    for (int i = 0; i < 2; i++)
        busy[i] = start_busy();
    struct focal *focal = focald_client(&focald, "label/");
    assert_int_equal(focal_subscribe(focal, "input/"), 0);
    assert_int_equal(focal_subscribe(focal, "audio/"), 0);
    double start = seconds_now();
    while (seconds_now() - start < RUN_S) {
        struct focal_message m;
        assert_int_equal(focal_next(focal, &m, 15000), 1);
        if (strcmp(m.topic, "label") == 0)
            labels++;
        else
            take_pcm(strcmp(m.topic, "input") == 0 ? &input : &audio, &m);
    }
    for (int i = 0; i < 2; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
    double lost = focald_status(&focald, "streams.0.lost_samples");
    double xruns = focald_status(&focald, "streams.0.xruns");
    double skipped = focald_status(&focald, "streams.0.skipped_windows");
    double loop = loop_difference(&input), alignment = alignment_difference(&input, &audio);
    printf(
        "%llu labels, %g windows skipped, %g samples lost, %g xruns of the server; input against "
        "itself a loop later: %.2g, masked audio against the input: %.2g\n",
        (unsigned long long)labels, skipped, lost, xruns, loop, alignment);
    assert_true(lost == 0);
    assert_true(labels >= (RUN_S - 10) * 2 - 10);
    assert_true(loop < 1e-4);
    assert_true(alignment < 1e-5);
    focal_close(focal);
    assert_int_equal(focald_stop(&focald, NULL), 0);
    focald_clean(&focald);
    jack_client_close(player->client);
    free(player);
    free(input.x);
    free(audio.x);
}

/* libjack waits for ever for a server that is halted; focald does not. */
static void a_server_that_hangs_does_not_keep_focald(void **state)
{
    (void)state;
    struct focald_process focald;
    double ms = 0, end = seconds_now() + 10;
    focald_start(&focald, "[stream a]\nsource = jack:2\n[stream b]\nsource = jack:1\n");
    while (focald_status(&focald, "streams.0.rate_hz") != JACK_RATE ||
           focald_status(&focald, "streams.1.rate_hz") != JACK_RATE)
        if (seconds_now() > end)
            fail_msg("JACK's rate never came");
    servers_hang_jack(servers, true);
    int status = focald_stop(&focald, &ms);
    servers_hang_jack(servers, false);
    focald_clean(&focald);
    printf("stopped after %.0f ms\n", ms);
    assert_int_equal(status, 0);
    assert_true(ms < 2000);
}

static void auto_does_not_wait_for_a_server_that_hangs(void **state)
{
    (void)state;
    struct focald_process focald;
    double ms = 0, slowest = 0, end;
    setenv("PIPEWIRE_RUNTIME_DIR", servers_dir(servers), 1); /* there is none */
    servers_hang_jack(servers, true);
    focald_start(&focald, "[stream a]\nsource = auto\n");
    end = seconds_now() + 5; /* it looks again every 3 s */
    while (seconds_now() < end) {
        double began = seconds_now();
        focald_status(&focald, "uptime_s");
        slowest = fmax(slowest, seconds_now() - began);
        usleep(50000);
    }
    int status = focald_stop(&focald, &ms);
    servers_hang_jack(servers, false);
    focald_clean(&focald);
    printf("answered within %.0f ms, stopped after %.0f ms\n", slowest * 1e3, ms);
    assert_int_equal(status, 0);
    assert_true(slowest < 1);
    assert_true(ms < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: a server that was halted has xruns for a while */
        cmocka_unit_test(a_minute_of_jack_on_a_busy_machine_loses_nothing),
        cmocka_unit_test(a_server_that_hangs_does_not_keep_focald),
        cmocka_unit_test(auto_does_not_wait_for_a_server_that_hangs),
    };
    servers = servers_new();
    if (servers == NULL || !servers_start_jack(servers, reason)) {
        printf("skipped: %s\n", reason);
        servers_free(servers);
        return SKIPPED;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    servers_free(servers);
    return failed;
}
