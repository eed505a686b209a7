/* SPDX-License-Identifier: Apache-2.0
 * Augmentation of waveforms: the published notch filters, the recipe's chunks, and what each of the
 * other steps promises. */
#include "tests/train/published.h"

#include "model/train/augment.h"

enum { N = 80000, SEED = 31 };

static float x[N], y[N], scratch_samples[N];

static int say_seed(void **state)
{
    print_message("seed %d\n", SEED);
    return 0;
}

static void fill_noise(float *ret, size_t n, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed);
    for (size_t i = 0; i < n; i++)
        ret[i] = (float)random_between(&r, -1, 1);
}

/* The published filters are float32 with values up to 1, summed over 101 taps: a few 1e-7. The
 * signal is at most 1; its sums of 101 products in another order differ by up to 2e-6. */
static void notches_are_those_of_the_published_code(void **state)
{
    enum { SHORT = 4000 };
    struct safetensors *f = published_open("augment.safetensors");
    published_floats(f, "in.wav", x, SHORT);
    for (int k = 0; k < 3; k++) {
        float named[3], filter[AUGMENT_TAPS], expected[AUGMENT_TAPS], out[SHORT];
        double frequencies[3], worst_filter, worst;
        char name[16];
        snprintf(name, sizeof name, "%c.freqs", 'a' + k);
        published_floats(f, name, named, (size_t)k + 1);
        for (int i = 0; i <= k; i++)
            frequencies[i] = (double)named[i];
        augment_notches(frequencies, k + 1, filter);
        snprintf(name, sizeof name, "%c.filter", 'a' + k);
        published_floats(f, name, expected, AUGMENT_TAPS);
        worst_filter = assert_all_near(name, filter, expected, AUGMENT_TAPS, 1e-6);
        augment_filter(x, SHORT, filter, y);
        snprintf(name, sizeof name, "%c.out", 'a' + k);
        published_floats(f, name, out, SHORT);
        worst = assert_all_near(name, y, out, SHORT, 2e-6);
        print_message("%c: filter within %.2g, signal within %.2g\n", 'a' + k, worst_filter, worst);
    }
    safetensors_close(f);
}

static void a_filter_is_a_correlation_with_zeros_around(void **state)
{
    const size_t sizes[] = {0, 1, 49, 50, 51, 100, 101, 163, 164, 165, 1000};
    float filter[AUGMENT_TAPS];
    fill_noise(filter, AUGMENT_TAPS, SEED);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        fill_noise(x, n, SEED + n);
        y[n] = 123;
        augment_filter(x, n, filter, y);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t k = 0; k < AUGMENT_TAPS; k++)
                if (i + k >= 50 && i + k - 50 < n)
                    sum += (double)x[i + k - 50] * (double)filter[k];
            assert_near("filtered", (double)y[i], sum, 1e-5);
        }
        assert_true(y[n] == 123);
    }
}

static double response(const float *filter, double frequency)
{
    double re = 0, im = 0;
    for (int k = 0; k < AUGMENT_TAPS; k++) {
        re += (double)filter[k] * cos(M_PI * frequency * (k - 50));
        im += (double)filter[k] * sin(M_PI * frequency * (k - 50));
    }
    return hypot(re, im);
}

/* 3 instead of pi: the band [f, f + 0.1] lies at 3 / pi of where it is named. */
static void a_notch_takes_its_band_out_and_leaves_the_rest(void **state)
{
    for (double f = 0.15; f < 0.75; f += 0.05) {
        float filter[AUGMENT_TAPS];
        double band = (f + 0.05) * 3 / M_PI;
        augment_notches(&f, 1, filter);
        assert_true(response(filter, band) < 0.1);
        for (double other = 0; other <= 1; other += 0.01)
            if (fabs(other - band) > 0.12)
                assert_near("gain", response(filter, other), 1, 0.01);
    }
}

static void frequencies_at_the_edges_give_finite_filters(void **state)
{
    const double edges[] = {0, 1e-300, 1e-12, 2e-9, 1, 0.9999999};
    float filter[AUGMENT_TAPS];
    for (size_t k = 0; k < 6; k++) {
        augment_notches(&edges[k], 1, filter);
        for (int i = 0; i < AUGMENT_TAPS; i++)
            assert_true(isfinite(filter[i]));
    }
    augment_notches(edges, 0, filter);
    for (int i = 0; i < AUGMENT_TAPS; i++)
        assert_true(filter[i] == (i == 50 ? 1 : 0));
}

/* Lone zeros and short runs; the expected share of zeros comes from 1500 chunks of 3 samples. */
static void chunks_have_the_recipes_lengths_and_number(void **state)
{
    struct random r;
    double zeros = 0;
    const int rounds = 50;
    random_seed(&r, SEED);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < N; i++)
            x[i] = 1;
        augment_drop_chunks(&r, (int)random_integer(&r, 1000, 2000), 1, 5, x, N);
        for (int i = 0; i < N; i++) {
            assert_true(x[i] == 0 || x[i] == 1);
            zeros += x[i] == 0;
        }
    }
    /* chunks overlap by chance: 1 - exp(-4500 / 80000) of the samples, +- 3 % of that */
    double expected = 1 - exp(-4500.0 / N);
    assert_near("zeros", zeros / rounds / N, expected, 0.05 * expected);
}

static void chunks_stay_inside_and_reach_both_ends(void **state)
{
    float guarded[9] = {7, 1, 1, 1, 1, 1, 1, 1, 7};
    struct random r;
    bool first = false, last = false;
    random_seed(&r, SEED);
    for (int round = 0; round < 500; round++) {
        for (int i = 1; i < 8; i++)
            guarded[i] = 1;
        augment_drop_chunks(&r, 1, 1, 5, guarded + 1, 7);
        first |= guarded[1] == 0;
        last |= guarded[7] == 0;
        int runs = 0, zeros = 0;
        for (int i = 1; i < 8; i++) {
            runs += guarded[i] == 0 && guarded[i - 1] != 0;
            zeros += guarded[i] == 0;
        }
        assert_true(runs == 1 && zeros >= 1 && zeros <= 5);
        augment_drop_chunks(&r, 3, 5, 20, guarded + 1, 7); /* longer than the clip */
        assert_true(guarded[0] == 7 && guarded[8] == 7);
    }
    assert_true(first && last);
    augment_drop_chunks(&r, 2, 1, 5, NULL, 0);
}

static void a_shift_moves_every_sample(void **state)
{
    const int64_t shifts[] = {0, 1, -1, 4, -4, 6, 7, -7, 8, 1000, -1000, INT64_MIN, INT64_MAX};
    enum { SEVEN = 7 };
    for (int i = 0; i < SEVEN; i++)
        x[i] = (float)(i + 1);
    for (size_t k = 0; k < sizeof shifts / sizeof *shifts; k++)
        for (int circular = 0; circular < 2; circular++) {
            augment_shift(x, SEVEN, shifts[k], circular, y);
            for (int i = 0; i < SEVEN; i++) {
                /* source of sample i, without overflow: shifts beyond +-2^62 differ by 7 q */
                int64_t by = shifts[k] > 7000 || shifts[k] < -7000
                                 ? shifts[k] % SEVEN + (shifts[k] < 0 ? -700 : 700)
                                 : shifts[k];
                int64_t from = i - by, wrapped = ((from % SEVEN) + SEVEN) % SEVEN;
                float expected = circular ? x[wrapped] : from >= 0 && from < SEVEN ? x[from] : 0;
                assert_true(y[i] == expected);
            }
        }
}

static double power(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double v = (double)a[i] - (b != NULL ? (double)b[i] : 0);
        sum += v * v;
    }
    return sum / (double)n;
}

static void a_background_lies_as_far_below_as_it_was_asked_to(void **state)
{
    enum { LEN = 5000, NOISE = 1700 };
    const double snrs[] = {-10, 0, 5, 30};
    static float noise[NOISE];
    for (size_t k = 0; k < 4; k++) {
        fill_noise(x, LEN, SEED);
        fill_noise(noise, NOISE, SEED + 1);
        memcpy(y, x, LEN * sizeof *y);
        assert_true(augment_background(y, LEN, noise, NOISE, 1234 + NOISE, snrs[k]));
        double found = 10 * log10(power(x, NULL, LEN) / power(y, x, LEN));
        assert_near("SNR", found, snrs[k], 1e-3);
        double factor = ((double)y[0] - (double)x[0]) / (double)noise[1234];
        for (size_t i = 0; i < LEN; i++)
            assert_near("sample", (double)y[i] - (double)x[i],
                        factor * (double)noise[(1234 + i) % NOISE], 1e-5);
    }
    const float silent[2] = {0}, broken[2] = {NAN, 1}, one[2] = {1, -1};
    float z[2] = {1, -1};
    assert_false(augment_background(z, 2, silent, 2, 0, 0));
    assert_false(augment_background(z, 2, broken, 2, 0, 0));
    assert_false(augment_background(z, 2, one, 0, 0, 0));
    assert_true(z[0] == 1 && z[1] == -1);
    memset(z, 0, sizeof z);
    assert_false(augment_background(z, 2, one, 2, 0, 0));
    assert_true(z[0] == 0 && z[1] == 0);
}

static void gain_and_mix_are_what_they_say(void **state)
{
    float a[] = {1, -0.5f, 0}, b[] = {0.5f, 0.25f, -1};
    augment_gain(a, 3, -20);
    assert_near("gain", (double)a[0], 0.1, 1e-8);
    assert_near("gain", (double)a[1], -0.05, 1e-8);
    augment_gain(a, 3, 20);
    augment_mix(a, b, 3, 0.75f);
    assert_near("mix", (double)a[0], 0.875, 1e-6);
    assert_near("mix", (double)a[1], -0.3125, 1e-6);
    assert_near("mix", (double)a[2], -0.25, 1e-6);
}

static void an_equalizer_is_lines_in_decibels_between_its_points(void **state)
{
    enum { BINS = 26 }; /* so that the points are bins: squares of fifths, times 25 */
    const struct augment_settings off = AUGMENT_PAPER;
    struct augment_settings on = AUGMENT_PAPER;
    float gains[BINS];
    double lowest = 0, highest = 0;
    on.equalizer_db = 9;
    for (uint64_t i = 0; i < 2000; i++) {
        double db[BINS];
        struct random r;
        random_stream(&r, SEED, 3, i);
        augment_equalizer(&on, &r, BINS, gains);
        for (int f = 0; f < BINS; f++)
            db[f] = 20 * log10((double)gains[f]);
        for (int k = 0; k < AUGMENT_EQUALIZER_POINTS - 1; k++) {
            const int a = k * k, b = (k + 1) * (k + 1);
            for (int f = a; f <= b; f++)
                assert_near("line", db[f], db[a] + (db[b] - db[a]) * (f - a) / (b - a), 1e-5);
            lowest = fmin(lowest, db[a]);
            highest = fmax(highest, db[a]);
        }
    }
    /* uniform: of 10 000 points the outermost lie this near to the limits */
    assert_true(lowest >= -9.00001 && highest <= 9.00001 && lowest < -8.9 && highest > 8.9);
    struct random r, same;
    random_stream(&r, SEED, 3, 0);
    same = r;
    augment_equalizer(&off, &r, BINS, gains);
    assert_memory_equal(&r, &same, sizeof r);
    for (int f = 0; f < BINS; f++)
        assert_true(gains[f] == 1);
}

static void the_papers_settings_drop_in_three_batches_of_four(void **state)
{
    const struct augment_settings paper = AUGMENT_PAPER;
    enum { BATCHES = 4000, LEN = 200 };
    int dropped = 0;
    assert_int_equal(augment_check(&paper, NULL), 0);
    for (int i = 0; i < BATCHES; i++) {
        struct augment_batch batch;
        struct random r;
        random_stream(&r, SEED, 0, (uint64_t)i);
        augment_batch_draw(&paper, &r, &batch);
        dropped += batch.drop;
        fill_noise(x, LEN, SEED);
        memcpy(y, x, LEN * sizeof *x);
        augment_clip(&paper, &batch, &r, y, LEN, scratch_samples);
        assert_true((memcmp(x, y, LEN * sizeof *x) != 0) == batch.drop);
    }
    assert_near("share", (double)dropped / BATCHES, 0.75, 5 * sqrt(0.75 * 0.25 / BATCHES));
}

static void the_same_stream_gives_the_same_clip(void **state)
{
    struct augment_settings s = AUGMENT_PAPER;
    static float again[N];
    s.drop_probability = 1;
    s.shift_samples = 8000;
    s.gain_db = 6;
    for (int circular = 0; circular < 2; circular++) {
        s.shift_circular = circular;
        float *results[] = {y, again};
        for (int k = 0; k < 2; k++) {
            struct augment_batch batch;
            struct random of_batch, of_clip;
            fill_noise(results[k], N, SEED);
            random_stream(&of_batch, SEED, 5, 0);
            augment_batch_draw(&s, &of_batch, &batch);
            random_stream(&of_clip, SEED, 5, 17);
            augment_clip(&s, &batch, &of_clip, results[k], N, scratch_samples);
        }
        assert_memory_equal(y, again, sizeof y);
    }
}

static void what_makes_no_sense_is_refused(void **state)
{
    for (int k = 0; k < 10; k++) {
        struct augment_settings s = AUGMENT_PAPER;
        struct error error = {""};
        s.drop_probability = k == 0 ? 1.5 : k == 1 ? (double)NAN : s.drop_probability;
        s.notches_high = k == 2 ? AUGMENT_MAX_NOTCHES + 1 : s.notches_high;
        s.notches_low = k == 3 ? 4 : s.notches_low;
        s.frequency_high = k == 4 ? 2 : s.frequency_high;
        s.chunks_low = k == 5 ? -1 : s.chunks_low;
        s.chunk_samples_high = k == 6 ? 0 : s.chunk_samples_high;
        s.shift_samples = k == 7 ? -1 : 0;
        s.gain_db = k == 8 ? (double)INFINITY : 0;
        s.equalizer_db = k == 9 ? -1 : 0;
        assert_int_equal(augment_check(&s, &error), -EINVAL);
        assert_line(&error, "augmentation: ", NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notches_are_those_of_the_published_code),
        cmocka_unit_test(a_filter_is_a_correlation_with_zeros_around),
        cmocka_unit_test(a_notch_takes_its_band_out_and_leaves_the_rest),
        cmocka_unit_test(frequencies_at_the_edges_give_finite_filters),
        cmocka_unit_test(chunks_have_the_recipes_lengths_and_number),
        cmocka_unit_test(chunks_stay_inside_and_reach_both_ends),
        cmocka_unit_test(a_shift_moves_every_sample),
        cmocka_unit_test(a_background_lies_as_far_below_as_it_was_asked_to),
        cmocka_unit_test(gain_and_mix_are_what_they_say),
        cmocka_unit_test(an_equalizer_is_lines_in_decibels_between_its_points),
        cmocka_unit_test(the_papers_settings_drop_in_three_batches_of_four),
        cmocka_unit_test(the_same_stream_gives_the_same_clip),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, say_seed, NULL);
}
