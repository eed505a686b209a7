/* SPDX-License-Identifier: Apache-2.0
 * Resizing against the formulae, two-dimensional and in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/resize.h"
#include "noise.h"

/* Weight of input cell k in output cell i of an axis. */
static double weight(int in, int out, bool antialias, int i, int k)
{
    double s = (double)in / out;
    if (!antialias) {
        double src = fmax(0, (i + 0.5) * s - 0.5);
        int low = (int)floor(src), high = low + 1 < in - 1 ? low + 1 : in - 1;
        double fraction = src - low;
        return (k == low ? 1 - fraction : 0) + (k == high ? fraction : 0);
    }
    double support = fmax(s, 1), c = s * (i + 0.5), total = 0, own = 0;
    int from = (int)fmax(0, trunc(c - support + 0.5));
    int to = (int)fmin(in, trunc(c + support + 0.5));
    for (int tap = from; tap < to; tap++) {
        double w = fmax(0, 1 - fabs(tap - c + 0.5) / support);
        total += w;
        own = tap == k ? w : own;
    }
    return own / total;
}

static void resize_by_definition(const int size[4], bool antialias, const float *in, double *out)
{
    double *columns = memory_zeroed((size_t)size[0] * (size_t)size[3], sizeof(double));
    for (int c = 0; c < size[3]; c++)
        for (int k = 0; k < size[1]; k++) {
            double w = weight(size[1], size[3], antialias, c, k);
            for (int r = 0; w != 0 && r < size[0]; r++)
                columns[r * size[3] + c] += w * (double)in[r * size[1] + k];
        }
    memset(out, 0, (size_t)size[2] * (size_t)size[3] * sizeof(double));
    for (int r = 0; r < size[2]; r++)
        for (int k = 0; k < size[0]; k++) {
            double w = weight(size[0], size[2], antialias, r, k);
            for (int c = 0; w != 0 && c < size[3]; c++)
                out[r * size[3] + c] += w * columns[k * size[3] + c];
        }
    free(columns);
}

static void assert_resizes(struct noise *noise, const int size[4], bool antialias)
{
    enum { GUARD = 32 };
    const float untouched = 12345.5f;
    struct resize *resize = NULL;
    struct error e;
    size_t cells = (size_t)size[2] * (size_t)size[3];
    float *in = memory_zeroed((size_t)size[0] * (size_t)size[1], sizeof(float));
    float *out = memory_zeroed(cells + GUARD, sizeof(float));
    double *want = memory_zeroed(cells, sizeof(double));
    noise_fill(noise, in, (size_t)size[0] * (size_t)size[1]);
    assert_int_equal(resize_create(&resize, size[0], size[1], size[2], size[3], antialias, &e), 0);
    for (size_t i = 0; i < cells + GUARD; i++)
        out[i] = untouched;
    resize_run(resize, in, out);
    resize_run(resize, in, out); /* nothing is left of the run before */
    resize_by_definition(size, antialias, in, want);
    /* positions are float32, as in the published code: off by some steps at the axis' end, times a
     * slope of at most 2 */
    double longest = fmax(size[0], size[1]), limit = 8 * longest * (double)FLT_EPSILON + 2e-6;
    for (size_t i = 0; i < cells; i++)
        if (!(fabs((double)out[i] - want[i]) <= limit))
            fail_msg("[%d, %d] -> [%d, %d]%s, cell %zu: %g instead of %g", size[0], size[1],
                     size[2], size[3], antialias ? " antialiased" : "", i, (double)out[i], want[i]);
    for (size_t i = cells; i < cells + GUARD; i++)
        assert_true(out[i] == untouched);
    resize_destroy(resize);
    free(in);
    free(out);
    free(want);
}

static void any_size_is_resized_by_the_formulae(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    static const int sizes[][4] = {{431, 513, 224, 224}, {7, 7, 431, 513},   {1, 1, 5, 3},
                                   {5, 3, 1, 1},         {1, 9, 9, 1},       {2, 2, 3, 3},
                                   {3, 3, 2, 2},         {8, 8, 8, 8},       {100, 1, 7, 40},
                                   {513, 512, 512, 513}, {17, 300, 300, 17}, {1000, 2, 3, 2},
                                   {4, 500, 5, 1}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int antialias = 0; antialias <= 1; antialias++)
            assert_resizes(&noise, sizes[i], antialias);
    for (int i = 0; i < 150; i++) {
        int size[4];
        for (int k = 0; k < 4; k++)
            size[k] = 1 + (int)noise_below(&noise, noise_below(&noise, 2) ? 200 : 12);
        assert_resizes(&noise, size, i % 2);
    }
}

static void a_plane_of_one_value_keeps_it(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    static float in[200 * 200], out[200 * 200];
    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        in[i] = 0.7f;
    for (int i = 0; i < 100; i++) {
        struct resize *resize = NULL;
        int a = 1 + (int)noise_below(&noise, 200), b = 1 + (int)noise_below(&noise, 200);
        int c = 1 + (int)noise_below(&noise, 200), d = 1 + (int)noise_below(&noise, 200);
        assert_int_equal(resize_create(&resize, a, b, c, d, i % 2, &e), 0);
        resize_run(resize, in, out);
        for (int k = 0; k < c * d; k++)
            assert_true(fabsf(out[k] - 0.7f) <= 1e-6f);
        resize_destroy(resize);
    }
}

static void the_same_size_is_a_copy(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct error e;
    static float in[37 * 91], out[37 * 91];
    noise_fill(&noise, in, ARRAY_LEN(in));
    for (int antialias = 0; antialias <= 1; antialias++) {
        struct resize *resize = NULL;
        assert_int_equal(resize_create(&resize, 37, 91, 37, 91, antialias, &e), 0);
        resize_run(resize, in, out);
        assert_memory_equal(in, out, sizeof in);
        resize_destroy(resize);
    }
}

/* Of an axis of which from..from + scale * out is taken: inside the input by the definition of
 * antialiasing, 0 where an output cell's centre lies outside. */
static double aimed_weight(int in, double from, double scale, int i, int k)
{
    double support = fmax(scale, 1), c = from + scale * (i + 0.5), total = 0, own = 0;
    if (!(c > 0 && c < in))
        return 0;
    for (int tap = 0; tap < in; tap++) {
        double w = fmax(0, 1 - fabs(tap - c + 0.5) / support);
        total += w;
        own = tap == k ? w : own;
    }
    return own / total;
}

static void a_box_is_resized_by_the_formula_and_silent_outside(void **state)
{
    (void)state;
    enum { IN_R = 43, IN_C = 51, OUT_R = 12, OUT_C = 14 };
    struct noise noise = noise_start();
    struct resize *resize = NULL;
    struct error e;
    float in[IN_R * IN_C], out[OUT_R * OUT_C];
    noise_fill(&noise, in, ARRAY_LEN(in));
    assert_int_equal(resize_create_aimed(&resize, IN_R, IN_C, OUT_R, OUT_C, 2, &e), 0);
    for (int round = 0; round < 200; round++) {
        /* from a fifth of the size to twice it, anywhere */
        const float high = (float)IN_R * (0.2f + 0.0001f * (float)noise_below(&noise, 18000)),
                    wide = (float)IN_C * (0.2f + 0.0001f * (float)noise_below(&noise, 18000)),
                    top = (float)noise_below(&noise, 60) - 30.25f,
                    left = (float)noise_below(&noise, 60) - 30.25f;
        const struct resize_box box = {top, top + high, left, left + wide};
        const double row_scale = (double)(box.bottom - box.top) / OUT_R,
                     col_scale = (double)(box.right - box.left) / OUT_C;
        double rows[OUT_R][IN_R], cols[OUT_C][IN_C];
        resize_aim(resize, &box);
        resize_run(resize, in, out);
        for (int r = 0; r < OUT_R; r++)
            for (int k = 0; k < IN_R; k++)
                rows[r][k] = aimed_weight(IN_R, (double)box.top, row_scale, r, k);
        for (int c = 0; c < OUT_C; c++)
            for (int m = 0; m < IN_C; m++)
                cols[c][m] = aimed_weight(IN_C, (double)box.left, col_scale, c, m);
        for (int r = 0; r < OUT_R; r++)
            for (int c = 0; c < OUT_C; c++) {
                double want = 0;
                for (int k = 0; k < IN_R; k++)
                    for (int m = 0; m < IN_C; m++)
                        want += rows[r][k] * cols[c][m] * (double)in[k * IN_C + m];
                /* positions are float32; a cell at an end may be one tap richer or poorer */
                if (!(fabs((double)out[r * OUT_C + c] - want) <= 1e-4))
                    fail_msg("box %g..%g, %g..%g, cell %d, %d: %g instead of %g", (double)box.top,
                             (double)box.bottom, (double)box.left, (double)box.right, r, c,
                             (double)out[r * OUT_C + c], want);
            }
    }
    resize_destroy(resize);
}

static void the_whole_as_a_box_is_the_same_to_the_bit(void **state)
{
    (void)state;
    struct noise noise = noise_start();
    struct resize *plain = NULL, *aimed = NULL;
    struct error e;
    static float in[431 * 513], a[112 * 160], b[112 * 160];
    noise_fill(&noise, in, ARRAY_LEN(in));
    assert_int_equal(resize_create(&plain, 431, 513, 112, 160, true, &e), 0);
    assert_int_equal(resize_create_aimed(&aimed, 431, 513, 112, 160, 1.5f, &e), 0);
    resize_aim(aimed, &(struct resize_box){20, 91, -8, 700}); /* nothing is left of it */
    resize_aim(aimed, &(struct resize_box){0, 431, 0, 513});
    resize_run(plain, in, a);
    resize_run(aimed, in, b);
    assert_memory_equal(a, b, sizeof a);
    resize_destroy(plain);
    resize_destroy(aimed);
}

static void an_absurd_size_is_refused(void **state)
{
    (void)state;
    struct error e;
    static const int sizes[][4] = {
        {0, 1, 1, 1}, {1, -1, 1, 1}, {1, 1, 8193, 1}, {1, 1, 1, 1 << 30}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct resize *resize = NULL;
        const int *s = sizes[i];
        assert_true(resize_create(&resize, s[0], s[1], s[2], s[3], false, &e) < 0);
        assert_null(resize);
        assert_non_null(strstr(e.text, "8192"));
    }
    struct resize *resize = NULL;
    assert_true(resize_create_aimed(&resize, 4, 4, 2, 2, 0.5f, &e) < 0);
    assert_true(resize_create_aimed(&resize, 4, 4, 2, 2, NAN, &e) < 0);
    assert_null(resize);
    resize_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_is_resized_by_the_formulae),
        cmocka_unit_test(a_plane_of_one_value_keeps_it),
        cmocka_unit_test(the_same_size_is_a_copy),
        cmocka_unit_test(a_box_is_resized_by_the_formula_and_silent_outside),
        cmocka_unit_test(the_whole_as_a_box_is_the_same_to_the_bit),
        cmocka_unit_test(an_absurd_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
