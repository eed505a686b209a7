/* SPDX-License-Identifier: Apache-2.0
 * What `focald bench network` measures, and the promise on memory. The promise on speed is measured
 * by the benchmark itself: a test beside others on a shared machine cannot. */
#include "tests/model/places.h"

#include <math.h>

#include "model/bench.h"

static void focalnet_base_takes_its_weights_and_at_most_120_mb(void **state)
{
    (void)state;
    struct network_bench_result r;
    struct error error;
    struct model *model;
    const struct bench_config config = {.backend = "cpu", .threads = 2, .batch = 1, .seconds = 0.5};
    if (model_open(&model, "focalnet-base", &error) < 0 ||
        network_bench(model, &config, &r, &error) < 0)
        fail_msg("%s", error.text);
    model_close(model);
    const struct bench_speed *s = &r.speed;
    print_message("focalnet-base: %.1f ms a window, %.1f GFLOP/s, %.0f %% of sgemm's %.1f; "
                  "resident %zu MB, weights %zu MB\n",
                  r.ms_per_window, s->gflop_s, 100 * s->share, s->product_gflop_s,
                  r.resident_bytes >> 20, r.weights_bytes >> 20);
    assert_true(s->rounds >= 5);
    assert_true(r.ms_per_window_min <= r.ms_per_window);
    assert_true(fabs(r.gflop_per_window - 30.5) < 0.5);
    assert_true(fabs(s->gflop_s - 1e3 * r.gflop_per_window / r.ms_per_window) < 0.01 * s->gflop_s);
    assert_true(fabs(s->share - s->gflop_s / s->product_gflop_s) < 1e-6);
#ifndef __SANITIZE_ADDRESS__
    assert_true(r.resident_bytes <= r.weights_bytes + ((size_t)120 << 20));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(focalnet_base_takes_its_weights_and_at_most_120_mb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
