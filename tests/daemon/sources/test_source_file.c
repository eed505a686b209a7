/* SPDX-License-Identifier: Apache-2.0
 * Files as sources: every sample, in order, at their own pace; and a word about each that fails. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "tests/daemon/sources/listener.h"
#include "tests/daemon/sources/servers.h"

enum { RING_BYTES = 1 << 20 };

static const struct source_config fast = {.fast = true};
static struct servers *servers; /* for its directory */

/* Exact in 16 bits. */
static float sample(uint64_t n, int c)
{
    return (float)((int)((n * 31 + (uint64_t)c * 7919) % 65536) - 32768) / 32768.0f;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", servers_dir(servers), name);
    return path;
}

static const char *spec_of(const char *name)
{
    static char spec[600];
    snprintf(spec, sizeof spec, "file:%s", path_of(name));
    return spec;
}

/* Integer formats take 16-bit samples as they are; floats would be scaled by 32767. */
static void write_audio(const char *name, int format, int rate, int channels, int frames)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *file = sf_open(path_of(name), SFM_WRITE, &info);
    bool is_float = (format & SF_FORMAT_SUBMASK) == SF_FORMAT_FLOAT;
    assert_non_null(file);
    for (int n = 0; n < frames; n++) {
        float as_float[64];
        short as_short[64];
        for (int c = 0; c < channels; c++) {
            as_float[c] = sample((uint64_t)n, c);
            as_short[c] = (short)(as_float[c] * 32768.0f);
        }
        assert_int_equal(
            is_float ? sf_writef_float(file, as_float, 1) : sf_writef_short(file, as_short, 1), 1);
    }
    sf_close(file);
}

static void make_directory(const char *name)
{
    assert_int_equal(mkdir(path_of(name), 0700), 0);
}

/* Reads one file's frames to *ret_end: RING_END came instead of more. */
static uint64_t read_frames(struct listener *l, uint64_t most, int channels, int rate,
                            bool *ret_end)
{
    uint64_t n = 0;
    *ret_end = false;
    while (n < most) {
        struct ring_block b = listener_block(l, 5);
        if (b.flags & RING_END) {
            *ret_end = true;
            break;
        }
        assert_int_equal(b.channels, channels);
        assert_int_equal(b.rate_hz, rate);
        assert_int_equal(b.lost_frames, 0);
        for (uint32_t i = 0; i < b.frames; i++)
            for (int c = 0; c < channels; c++)
                if (b.samples[i * b.channels + (uint32_t)c] != sample(n + i, c))
                    fail_msg("frame %llu, channel %d: %g", (unsigned long long)(n + i), c,
                             (double)b.samples[i * b.channels + (uint32_t)c]);
        n += b.frames;
    }
    return n;
}

static void a_fast_file_arrives_sample_by_sample(void **state)
{
    static const struct {
        const char *name;
        int format, rate, channels, frames;
    } cases[] = {
        {"mono.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 1, 50000},
        {"stereo.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2, 33333},
        {"six.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 96000, 6, 12345},
        {"one.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 8000, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listener l;
        bool end;
        write_audio(cases[i].name, cases[i].format, cases[i].rate, cases[i].channels,
                    cases[i].frames);
        assert_int_equal(listener_start(&l, spec_of(cases[i].name), RING_BYTES, &fast), 0);
        assert_int_equal(read_frames(&l, UINT64_MAX, cases[i].channels, cases[i].rate, &end),
                         cases[i].frames);
        assert_true(end);
        struct source_status s = listener_wait(&l, SOURCE_ENDED, false, 2);
        assert_int_equal(s.rate_hz, cases[i].rate);
        assert_int_equal(s.channels, cases[i].channels);
        assert_true(listener_heard(&l, cases[i].name));
        assert_true(listener_stop(&l) < 0.5);
    }
}

static void a_paced_file_lasts_as_long_as_it_sounds(void **state)
{
    struct listener l;
    int64_t first_ns = 0, frames = 0;
    write_audio("paced.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 22050, 1, 22050);
    double began = listener_now();
    assert_int_equal(listener_start(&l, spec_of("paced.wav"), RING_BYTES, NULL), 0);
    for (;;) {
        struct ring_block b = listener_block(&l, 5);
        if (b.flags & RING_END)
            break;
        assert_true(b.frames <= 22050 / 50);
        if (frames == 0)
            first_ns = b.t_ns;
        /* no block is told before it would have been captured, and the clock runs as the samples do
         */
        assert_true((double)b.t_ns * 1e-9 + (double)b.frames / 22050 <= listener_now() + 1e-6);
        double drift = (double)(b.t_ns - first_ns) * 1e-9 - (double)frames / 22050;
        if (!(fabs(drift) < 1e-5))
            fail_msg("the clock is %g s off after %lld frames", drift, (long long)frames);
        frames += b.frames;
    }
    double took = listener_now() - began;
    assert_int_equal(frames, 22050);
    assert_true(took >= 1.0);
    assert_true(took < 1.5); /* and not much more, on a busy machine */
    listener_stop(&l);
}

static void a_loop_begins_again_without_a_seam(void **state)
{
    static const struct source_config loop = {.fast = true, .loop = true};
    struct listener l;
    uint64_t n = 0;
    write_audio("loop.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 5000);
    assert_int_equal(listener_start(&l, spec_of("loop.wav"), RING_BYTES, &loop), 0);
    while (n < 5 * 5000) {
        struct ring_block b = listener_block(&l, 5);
        assert_int_equal(b.flags, 0);
        assert_int_equal(b.lost_frames, 0);
        for (uint32_t i = 0; i < b.frames; i++)
            assert_true(b.samples[i] == sample((n + i) % 5000, 0));
        n += b.frames;
    }
    assert_true(listener_stop(&l) < 0.5);
}

static void a_loop_waits_for_a_file_that_is_away(void **state)
{
    static const struct source_config loop = {.fast = true, .loop = true};
    struct listener l;
    char there[512], elsewhere[512];
    snprintf(there, sizeof there, "%s", path_of("moved.wav"));
    snprintf(elsewhere, sizeof elsewhere, "%s", path_of("moved.aside"));
    write_audio("moved.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 5000);
    assert_int_equal(listener_start(&l, spec_of("moved.wav"), RING_BYTES, &loop), 0);
    listener_block(&l, 5);
    assert_int_equal(rename(there, elsewhere), 0);
    struct source_status s = listener_wait(&l, SOURCE_WAITING, true, 5);
    assert_non_null(strstr(s.text, "moved.wav"));
    listener_drain(&l);
    assert_int_equal(rename(elsewhere, there), 0);
    struct ring_block b = listener_block(&l, 5);
    assert_int_equal(b.flags, 0);
    assert_true(b.samples[0] == sample(0, 0));
    listener_wait(&l, SOURCE_RUNNING, true, 5);
    assert_int_equal(rename(there, elsewhere), 0);
    listener_wait(&l, SOURCE_WAITING, true, 5);
    assert_true(listener_stop(&l) < 0.5);
}

static void a_directory_plays_its_audio_by_name(void **state)
{
    struct listener l;
    bool end;
    make_directory("set");
    write_audio("set/b.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 3000);
    write_audio("set/c.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 2, 2000);
    write_audio("set/a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 1000);
    FILE *notes = fopen(path_of("set/NOTES"), "w");
    fputs("Not audio: who made what, and under which licence.\n", notes);
    fclose(notes);
    make_directory("set/deeper");
    assert_int_equal(listener_start(&l, spec_of("set/"), RING_BYTES, &fast), 0);
    assert_int_equal(read_frames(&l, 1000, 1, 8000, &end), 1000);
    assert_int_equal(read_frames(&l, 3000, 1, 16000, &end), 3000);
    assert_int_equal(read_frames(&l, UINT64_MAX, 2, 44100, &end), 2000);
    assert_true(end);
    listener_wait(&l, SOURCE_ENDED, false, 2);
    assert_true(listener_heard(&l, "set/a.wav"));
    assert_true(listener_heard(&l, "set/b.wav"));
    assert_true(listener_heard(&l, "set/c.flac"));
    assert_false(listener_heard(&l, "NOTES"));
    listener_stop(&l);
}

static void what_cannot_play_is_refused_by_name(void **state)
{
    struct listener l;
    assert_int_equal(listener_start(&l, spec_of("nowhere.wav"), RING_BYTES, NULL), -ENOENT);
    assert_non_null(strstr(l.error.text, "nowhere.wav"));
    assert_true(listener_start(&l, "file:", RING_BYTES, NULL) < 0);

    make_directory("hollow");
    assert_true(listener_start(&l, spec_of("hollow"), RING_BYTES, NULL) < 0);
    assert_non_null(strstr(l.error.text, "hollow"));

    write_audio("empty.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 0);
    assert_int_equal(listener_start(&l, spec_of("empty.wav"), RING_BYTES, NULL), -EINVAL);
    assert_non_null(strstr(l.error.text, "empty.wav"));

    FILE *text = fopen(path_of("text.wav"), "w");
    fputs("this is no audio", text);
    fclose(text);
    assert_int_equal(listener_start(&l, spec_of("text.wav"), RING_BYTES, NULL), -EINVAL);
    assert_non_null(strstr(l.error.text, "text.wav"));
}

/* A pipe's open waits for its other end, which nobody may ever open. */
static void a_pipe_is_refused_at_once(void **state)
{
    struct listener l;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    alarm(2);
    assert_int_equal(listener_start(&l, spec_of("fifo"), RING_BYTES, NULL), -EINVAL);
    alarm(0);
    assert_non_null(strstr(l.error.text, "fifo"));
    assert_non_null(strstr(l.error.text, "stdin:"));
}

static void a_rate_that_nobody_resamples_is_refused_or_passed_over(void **state)
{
    struct listener l;
    bool end;
    make_directory("rates");
    write_audio("rates/a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 2000);
    write_audio("rates/b.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 900, 1, 2000);
    write_audio("rates/c.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1000000, 1, 2000);
    write_audio("rates/d.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 3000);
    assert_int_equal(listener_start(&l, spec_of("rates/b.wav"), RING_BYTES, &fast), -EINVAL);
    assert_non_null(strstr(l.error.text, "900 Hz"));
    assert_int_equal(listener_start(&l, spec_of("rates/c.wav"), RING_BYTES, &fast), -EINVAL);
    assert_int_equal(listener_start(&l, spec_of("rates"), RING_BYTES, &fast), 0);
    assert_int_equal(read_frames(&l, 2000, 1, 16000, &end), 2000);
    assert_int_equal(read_frames(&l, UINT64_MAX, 1, 16000, &end), 3000);
    assert_true(end);
    assert_true(listener_heard(&l, "b.wav cannot be played: it has 900 Hz"));
    assert_true(listener_heard(&l, "c.wav cannot be played: "));
    listener_stop(&l);
}

static void cut_in_half(const char *name)
{
    struct stat st;
    assert_int_equal(stat(path_of(name), &st), 0);
    assert_int_equal(truncate(path_of(name), st.st_size / 2), 0);
}

static void a_file_that_breaks_off_fails_with_name_and_place(void **state)
{
    struct listener l;
    bool end;
    write_audio("broken.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 64000);
    cut_in_half("broken.flac");
    assert_int_equal(listener_start(&l, spec_of("broken.flac"), RING_BYTES, &fast), 0);
    uint64_t n = read_frames(&l, UINT64_MAX, 1, 16000, &end);
    assert_true(end); /* what could be decoded came, and then the end */
    assert_true(n > 0);
    assert_true(n < 64000);
    struct source_status s = listener_wait(&l, SOURCE_FAILED, false, 2);
    char frame[32];
    snprintf(frame, sizeof frame, "frame %llu", (unsigned long long)n);
    print_message("%s\n", s.text);
    assert_non_null(strstr(s.text, "broken.flac"));
    assert_non_null(strstr(s.text, frame));
    listener_stop(&l);
}

/* As an encoder leaves it that writes into a pipe and cannot go back. */
static void forget_length_of_flac(const char *name)
{
    enum { TOTAL_SAMPLES = 4 + 4 + 13 }; /* "fLaC", the block's header; 36 bits after 4 others */
    unsigned char bytes[5];
    FILE *file = fopen(path_of(name), "r+b");
    assert_non_null(file);
    fseek(file, TOTAL_SAMPLES, SEEK_SET);
    assert_int_equal(fread(bytes, 1, 5, file), 5);
    assert_int_equal(bytes[3] << 8 | bytes[4], 20000);
    memset(bytes + 1, 0, 4);
    bytes[0] &= 0xf0;
    fseek(file, TOTAL_SAMPLES, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, 5, file), 5);
    fclose(file);
}

static void a_file_whose_header_knows_no_length_plays_to_its_end(void **state)
{
    struct listener l;
    bool end;
    write_audio("piped.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 20000);
    forget_length_of_flac("piped.flac");
    assert_int_equal(listener_start(&l, spec_of("piped.flac"), RING_BYTES, &fast), 0);
    assert_int_equal(read_frames(&l, UINT64_MAX, 1, 16000, &end), 20000);
    assert_true(end);
    listener_wait(&l, SOURCE_ENDED, false, 2);
    listener_stop(&l);
}

static void a_directory_goes_on_after_a_broken_file(void **state)
{
    struct listener l;
    bool end;
    make_directory("mixed");
    write_audio("mixed/a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 64000);
    cut_in_half("mixed/a.flac");
    write_audio("mixed/b.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 32000, 1, 1000);
    assert_int_equal(listener_start(&l, spec_of("mixed"), RING_BYTES, &fast), 0);
    struct ring_block b;
    do
        b = listener_block(&l, 5);
    while (b.rate_hz == 16000);
    uint64_t n = b.frames;
    assert_int_equal(b.rate_hz, 32000);
    n += read_frames(&l, UINT64_MAX, 1, 32000, &end);
    assert_int_equal(n, 1000);
    assert_true(end);
    listener_wait(&l, SOURCE_ENDED, false, 2);
    assert_true(listener_heard(&l, "a.flac cannot be decoded"));
    assert_true(listener_heard(&l, "playing"));
    listener_stop(&l);
}

static void a_fast_file_waits_for_a_slow_reader(void **state)
{
    struct listener l;
    bool end;
    write_audio("waits.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 2, 40000);
    assert_int_equal(listener_start(&l, spec_of("waits.wav"), 65536, &fast), 0);
    listener_sleep(0.1); /* the ring is full now */
    assert_int_equal(read_frames(&l, UINT64_MAX, 2, 48000, &end), 40000);
    assert_true(end);
    assert_int_equal(ring_lost(l.ring), 0);
    listener_stop(&l);
}

static void many_channels_pass_through_a_small_ring(void **state)
{
    struct listener l;
    bool end;
    write_audio("wide.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 64, 5000);
    assert_int_equal(listener_start(&l, spec_of("wide.wav"), 40000, &fast), 0);
    assert_int_equal(read_frames(&l, UINT64_MAX, 64, 48000, &end), 5000);
    assert_true(end);
    listener_stop(&l);
}

static void a_stop_does_not_wait_for_the_reader(void **state)
{
    struct listener l;
    write_audio("long.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 48000, 2, 480000);
    assert_int_equal(listener_start(&l, spec_of("long.wav"), 65536, &fast), 0);
    listener_sleep(0.05);
    assert_true(listener_stop(&l) < 0.5); /* the ring is full */
    assert_int_equal(listener_start(&l, spec_of("long.wav"), 65536, NULL), 0);
    listener_sleep(0.05);
    assert_true(listener_stop(&l) < 0.5);
}

static void the_demo_plays_its_ten_clips(void **state)
{
    static const char *const clips[] = {"chainsaw",  "clock_tick", "crackling_fire", "crying_baby",
                                        "dog",       "helicopter", "rain",           "rooster",
                                        "sea_waves", "sneezing"};
    const char *demo = getenv("FOCALD_DEMO");
    struct listener l;
    char spec[4096];
    uint64_t frames = 0;
    if (demo == NULL) {
        print_message("skipped: FOCALD_DEMO is not set\n");
        skip();
    }
    snprintf(spec, sizeof spec, "file:%s", demo);
    assert_int_equal(listener_start(&l, spec, RING_BYTES, &fast), 0);
    for (;;) {
        struct ring_block b = listener_block(&l, 5);
        if (b.flags & RING_END)
            break;
        frames += b.frames;
        for (uint32_t i = 0; i < b.frames * b.channels; i++)
            assert_true(fabsf(b.samples[i]) < 4);
    }
    listener_wait(&l, SOURCE_ENDED, false, 2);
    int at = 0; /* each is named, in order */
    pthread_mutex_lock(&l.lock);
    for (int i = 0; i < l.n_texts && at < 10; i++)
        at +=
            strstr(l.said[i].text, "playing ") != NULL && strstr(l.said[i].text, clips[at]) != NULL;
    pthread_mutex_unlock(&l.lock);
    assert_int_equal(at, 10);
    assert_false(listener_heard(&l, "CREDITS"));
    assert_true(frames > 10 * 44100);
    listener_stop(&l);
}

static int begin(void **state)
{
    servers = servers_new();
    return servers == NULL ? -1 : 0;
}

static int finish(void **state)
{
    servers_free(servers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fast_file_arrives_sample_by_sample),
        cmocka_unit_test(a_paced_file_lasts_as_long_as_it_sounds),
        cmocka_unit_test(a_loop_begins_again_without_a_seam),
        cmocka_unit_test(a_loop_waits_for_a_file_that_is_away),
        cmocka_unit_test(a_directory_plays_its_audio_by_name),
        cmocka_unit_test(what_cannot_play_is_refused_by_name),
        cmocka_unit_test(a_pipe_is_refused_at_once),
        cmocka_unit_test(a_rate_that_nobody_resamples_is_refused_or_passed_over),
        cmocka_unit_test(a_file_that_breaks_off_fails_with_name_and_place),
        cmocka_unit_test(a_file_whose_header_knows_no_length_plays_to_its_end),
        cmocka_unit_test(a_directory_goes_on_after_a_broken_file),
        cmocka_unit_test(a_fast_file_waits_for_a_slow_reader),
        cmocka_unit_test(many_channels_pass_through_a_small_ring),
        cmocka_unit_test(a_stop_does_not_wait_for_the_reader),
        cmocka_unit_test(the_demo_plays_its_ten_clips),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
