/* SPDX-License-Identifier: Apache-2.0
 * The quantile mask against sorting, on friendly and hostile values, and against torch. */
#include "tests/model/places.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "model/interpret/mask.h"
#include "model/weights/safetensors.h"

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* torch.quantile, interpolation "linear", float32: sort, take both order statistics, lerp. */
static float sorted_quantile(const float *x, size_t n, float q)
{
    float *sorted = malloc(n * sizeof *sorted);
    assert_non_null(sorted);
    memcpy(sorted, x, n * sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i])) {
            free(sorted);
            return NAN;
        }
    qsort(sorted, n, sizeof *sorted, by_value);
    float rank = q * (float)(n - 1);
    size_t below = (size_t)floorf(rank), above = (size_t)ceilf(rank);
    float low = sorted[below], high = sorted[above], weight = rank - (float)below;
    free(sorted);
    if (weight == 0)
        return low;
    return weight < 0.5f ? low + weight * (high - low) : high - (high - low) * (1 - weight);
}

static void compare(const float *x, size_t n, float q, const char *what)
{
    float *copy = malloc(n * sizeof *copy), *scratch_floats = malloc(n * sizeof *scratch_floats);
    assert_true(copy != NULL && scratch_floats != NULL);
    memcpy(copy, x, n * sizeof *copy);
    float expected = sorted_quantile(x, n, q), found = quantile(x, n, q, scratch_floats);
    if (!(found == expected || (isnan(found) && isnan(expected))))
        fail_msg("%s, n %zu, q %g: %.9g, sorting gives %.9g", what, n, (double)q, (double)found,
                 (double)expected);
    assert_memory_equal(x, copy, n * sizeof *copy); /* its input is not its scratch */
    free(copy);
    free(scratch_floats);
}

static const float qs[] = {0, 0.001f, 0.1f, 0.25f, 0.5f, 0.75f, 0.9f, 0.95f, 0.999f, 1};

static void compare_all(const float *x, size_t n, const char *what)
{
    for (size_t k = 0; k < sizeof qs / sizeof *qs; k++)
        compare(x, n, qs[k], what);
}

static void small_and_hostile_inputs_agree_with_sorting(void **state)
{
    const float tiny = FLT_TRUE_MIN, inf = INFINITY;
    compare_all((float[]){3}, 1, "one");
    compare_all((float[]){-inf}, 1, "one -inf");
    compare_all((float[]){NAN}, 1, "one NaN");
    compare_all((float[]){2, 1}, 2, "two");
    compare_all((float[]){-1, -1}, 2, "two equal");
    compare_all((float[]){-0.0f, 0.0f, -0.0f}, 3, "zeros of both signs");
    compare_all((float[]){-tiny, tiny, 0, -FLT_MIN, FLT_MIN}, 5, "subnormals");
    compare_all((float[]){-FLT_MAX, FLT_MAX, 1, -1}, 4, "extremes");
    compare_all((float[]){inf, 1, 2, inf, -inf, 3, inf, inf}, 8, "infinities");
    compare_all((float[]){1, 2, NAN, 4}, 4, "a NaN");
    compare_all((float[]){1, 2, -NAN, 4, inf}, 5, "a negative NaN");
    compare_all((float[]){1, 1, 1, 1, 2}, 5, "a plateau below");
    compare_all((float[]){1, 2, 2, 2, 2}, 5, "a plateau above");
}

static void random_inputs_agree_with_sorting(void **state)
{
    enum { MAX = 5000 };
    static float x[MAX];
    uint64_t seed = 42, s = seed;
    print_message("seed %" PRIu64 "\n", seed);
    for (int round = 0; round < 600; round++) {
        size_t n = random_next(&s) % MAX + 1;
        uint64_t values = random_next(&s) % 4 == 0 ? 3 : 1 << random_next(&s) % 30;
        for (size_t i = 0; i < n; i++) {
            uint32_t bits = (uint32_t)(random_next(&s) >> 32);
            x[i] = (float)(random_next(&s) % values) - (float)values / 3;
            if (round % 3 == 0) { /* any bits but NaN's */
                memcpy(&x[i], &bits, sizeof bits);
                x[i] = isnan(x[i]) ? 0 : x[i];
            }
        }
        compare(x, n, qs[random_next(&s) % 10], "random");
        compare(x, n, (float)(random_next(&s) >> 40) * 0x1p-24f, "random");
    }
}

/* A hop's map: 431 x 513. Equal values, two values, rising, falling, one NaN at the end. */
static void maps_of_a_hops_size_agree_with_sorting(void **state)
{
    enum { N = 431 * 513 };
    float *x = malloc(N * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < N; i++)
        x[i] = 1.25f;
    compare(x, N, 0.9f, "all equal");
    for (size_t i = 0; i < N; i++)
        x[i] = i % 10 == 0 ? 2 : 1;
    compare(x, N, 0.9f, "two values");
    for (size_t i = 0; i < N; i++)
        x[i] = (float)i;
    compare(x, N, 0.9f, "rising");
    for (size_t i = 0; i < N; i++)
        x[i] = -(float)i * 1e-3f;
    compare(x, N, 0.9f, "falling");
    x[N - 1] = NAN;
    compare(x, N, 0.9f, "a NaN at the end");
    free(x);
}

/* golden/README: masks may differ only where |map - threshold| < 1e-4 of the maximum. */
static void thresholds_and_masks_are_torchs(void **state)
{
    enum { N = 431 * 513 };
    struct safetensors *f;
    struct error error = {""};
    if (safetensors_open(&f, golden("focalnet_tiny.safetensors").path, &error) < 0)
        fail_msg("%s", error.text);
    const struct safetensors_tensor *map = safetensors_find(f, "out.map4_resized");
    const struct safetensors_tensor *expected = safetensors_find(f, "out.mask");
    const struct safetensors_tensor *thresholds = safetensors_find(f, "out.threshold");
    assert_true(map != NULL && expected != NULL && thresholds != NULL);
    assert_int_equal(map->cells, 2 * N);
    assert_int_equal(expected->cells, 2 * N);
    float *x = malloc(3 * N * sizeof *x), threshold[2];
    uint8_t *mask = malloc(N);
    assert_true(x != NULL && mask != NULL);
    safetensors_float(map, x);
    safetensors_float(thresholds, threshold);
    for (int k = 0; k < 2; k++) {
        const float *sample = x + k * N;
        const uint8_t *wanted = (const uint8_t *)expected->data + k * N;
        float found = quantile(sample, N, 0.9f, x + 2 * N), most = 0;
        print_message("threshold %.9g, torch %.9g\n", (double)found, (double)threshold[k]);
        assert_true(fabsf(found - threshold[k]) <= 1e-4f);
        size_t ones = mask_threshold(sample, N, found, mask), counted = 0, differ = 0;
        for (size_t i = 0; i < N; i++)
            most = fmaxf(most, sample[i]);
        for (size_t i = 0; i < N; i++) {
            counted += mask[i];
            differ += mask[i] != wanted[i];
            assert_true(mask[i] == wanted[i] || fabsf(sample[i] - found) < 1e-4f * most);
        }
        print_message("%zu kept, %zu differ\n", ones, differ);
        assert_int_equal(ones, counted);
    }
    free(x);
    free(mask);
    safetensors_close(f);
}

static void a_mask_holds_what_reaches_the_threshold(void **state)
{
    const float x[] = {1, 2, 3, -INFINITY, INFINITY, NAN, 2.0000002f, -2};
    const uint8_t expected[] = {0, 1, 1, 0, 1, 0, 1, 0};
    uint8_t mask[8];
    assert_int_equal(mask_threshold(x, 8, 2, mask), 4);
    assert_memory_equal(mask, expected, 8);
    assert_int_equal(mask_threshold(x, 8, NAN, mask), 0); /* a broken map keeps nothing */
}

static void packing_keeps_every_cell_and_stays_in_its_bytes(void **state)
{
    uint64_t s = 7;
    uint8_t mask[100] = {0}, packed[14];
    for (size_t n = 0; n <= sizeof mask; n++) {
        for (size_t i = 0; i < n; i++)
            mask[i] = random_next(&s) >> 63;
        memset(packed, 0xa5, sizeof packed);
        mask_pack(mask, n, packed);
        for (size_t i = 0; i < (n + 7) / 8 * 8; i++)
            assert_int_equal(packed[i / 8] >> i % 8 & 1, i < n ? mask[i] : 0);
        assert_int_equal(packed[(n + 7) / 8], 0xa5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_and_hostile_inputs_agree_with_sorting),
        cmocka_unit_test(random_inputs_agree_with_sorting),
        cmocka_unit_test(maps_of_a_hops_size_agree_with_sorting),
        cmocka_unit_test(thresholds_and_masks_are_torchs),
        cmocka_unit_test(a_mask_holds_what_reaches_the_threshold),
        cmocka_unit_test(packing_keeps_every_cell_and_stays_in_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
