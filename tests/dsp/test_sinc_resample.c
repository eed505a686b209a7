/* SPDX-License-Identifier: Apache-2.0
 * The published resampler against its formula, every tap of it, summed in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/dot.h"
#include "dsp/sinc_resample.h"
#include "noise.h"

static long gcd(long a, long b)
{
    return b == 0 ? a : gcd(b, a % b);
}

/* One output of the formula in golden/README, dsp, step 2, with its float32 phase; in and out have
 * no common divisor. */
static double output_by_definition(long in, long out, const float *x, long n, long y)
{
    double b = 0.99 * (double)(in < out ? in : out);
    long w = (long)ceil(6 * (double)in / b), i = y / out, j = y % out;
    double phase = (double)(-(float)j / (float)out), sum = 0;
    for (long k = 0; k < 2 * w + in; k++) {
        long at = in * i + k - w;
        if (at < 0 || at >= n)
            continue;
        double t = fmin(fmax((phase + (double)(k - w) / (double)in) * b, -6), 6);
        double sinc = t == 0 ? 1 : sin(M_PI * t) / (M_PI * t), window = cos(M_PI * t / 12);
        sum += sinc * window * window * b / (double)in * (double)x[at];
    }
    return sum;
}

static void every_output_is_the_formula_at_any_rates(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    static const int rates[][2] = {{44100, 16000}, {48000, 16000}, {22050, 16000},
                                   {8000, 16000},  {96000, 16000}, {16000, 44100},
                                   {44101, 16000}, {16001, 16000}, {192000, 8000}};
    enum { N = 3000 };
    static float x[N];
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        struct sinc_resample *s = NULL;
        assert_int_equal(sinc_resample_create(&s, rates[r][0], rates[r][1], &e), 0);
        long divisor = gcd(rates[r][0], rates[r][1]);
        long in = rates[r][0] / divisor, out = rates[r][1] / divisor;
        size_t lengths[] = {N, 1, 1 + noise_below(&noise, 100)};
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
            size_t n = lengths[l], length = sinc_resample_length(s, n);
            assert_int_equal(length, ((long)n * out + in - 1) / in);
            float *got = memory_zeroed(length, sizeof(float));
            noise_fill(&noise, x, n);
            sinc_resample_run(s, x, n, got);
            for (size_t y = 0; y<length; y += length> 4000 ? 7 : 1) {
                double want = output_by_definition(in, out, x, (long)n, (long)y);
                if (!(fabs((double)got[y] - want) <= 2e-6))
                    fail_msg("%d -> %d Hz, output %zu: %.9g instead of %.9g", rates[r][0],
                             rates[r][1], y, (double)got[y], want);
            }
            free(got);
        }
        sinc_resample_destroy(s);
    }
}

static void equal_rates_copy(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    float x[100], got[100];
    struct sinc_resample *s = NULL;
    noise_fill(&noise, x, 100);
    assert_int_equal(sinc_resample_create(&s, 16000, 16000, &e), 0);
    assert_int_equal(sinc_resample_length(s, 100), 100);
    sinc_resample_run(s, x, 100, got);
    assert_memory_equal(x, got, sizeof x);
    sinc_resample_destroy(s);
}

static void an_impossible_rate_is_refused(void **state)
{
    (void)state;
    struct error e;
    struct sinc_resample *s = NULL;
    assert_true(sinc_resample_create(&s, 0, 16000, &e) < 0);
    assert_true(sinc_resample_create(&s, 16000, -1, &e) < 0);
    assert_true(sinc_resample_create(&s, 2000000, 16000, &e) < 0);
    assert_null(s);
    assert_non_null(strstr(e.text, "2000000"));
    sinc_resample_destroy(NULL);
}

static void every_variant_of_the_inner_product_is_the_sum(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static float a[1024 + 1], b[1024 + 1];
    for (int level = 0; level < SIMD_LEVELS; level++) {
        if (!simd_supported((enum simd_level)level))
            continue;
        dot_product dot = dot_product_for((enum simd_level)level);
        for (size_t n = 0; n <= 1024; n += DOT_BLOCK) {
            size_t off = noise_below(&noise, 2);
            double want = 0;
            noise_fill(&noise, a, ARRAY_LEN(a));
            noise_fill(&noise, b, ARRAY_LEN(b));
            for (size_t i = 0; i < n; i++)
                want += (double)a[off + i] * (double)b[i];
            assert_true(fabs((double)dot(a + off, b, n) - want) <= 1e-5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_output_is_the_formula_at_any_rates),
        cmocka_unit_test(equal_rates_copy),
        cmocka_unit_test(an_impossible_rate_is_refused),
        cmocka_unit_test(every_variant_of_the_inner_product_is_the_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
