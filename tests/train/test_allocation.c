/* SPDX-License-Identifier: Apache-2.0
 * A step of training allocates nothing in what does not depend on the network: losses, optimiser,
 * augmentation. This program's malloc stands before the C library's and counts. */
#include "tests/train/published.h"

#include <malloc.h>
#include <stdatomic.h>

#include "model/train/augment.h"
#include "model/train/loss.h"
#include "model/train/masking.h"
#include "model/train/optimizer.h"
#include "model/train/schedule.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int main(void)
{
    puts("skipped: a sanitizer has the allocator");
    return 77;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_bool counting;
static atomic_long allocated;

static void *counted(void *p)
{
    if (atomic_load(&counting))
        atomic_fetch_add(&allocated, 1);
    return p;
}

void *malloc(size_t size)
{
    return counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    return counted(__libc_realloc(p, size));
}

void *memalign(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    *ret = counted(__libc_memalign(alignment, size));
    return *ret != NULL ? 0 : ENOMEM;
}

enum { P = 200000, N = 16, C = 50, SAMPLES = 80000, T = 224, F = 224 };

static float w[P], g[P], zeros[N * C], x[SAMPLES], other[SAMPLES], room[SAMPLES];
static float spectrogram[T * F], masks_room[2 * T * F];
static uint8_t mask[T * F];

static double norm_of(struct optimizer *o, const float *gradients)
{
    double norm = NAN;
    assert_int_equal(optimizer_norm(o, gradients, &norm, NULL), 0);
    return norm;
}

static void one_step(struct optimizer *o, struct random *r)
{
    const struct loss_options loss_options = LOSS_PAPER;
    const struct schedule_options schedule = SCHEDULE_PAPER;
    struct augment_settings augment = AUGMENT_PAPER;
    const struct masking_settings masking = {.time_bands = 1,
                                             .time_frames = 9,
                                             .keep_probability = 1,
                                             .share_low = 0.1,
                                             .share_high = 0.2,
                                             .region = {7, 7, 0, 0.2}};
    struct loss_target targets[N] = {{0, 0, 1}};
    struct augment_batch batch;
    double loss = 0;
    augment.drop_probability = 1;
    augment.shift_samples = 100;
    augment_batch_draw(&augment, r, &batch);
    augment_clip(&augment, &batch, r, x, SAMPLES, room);
    augment_background(x, SAMPLES, other, SAMPLES, 3, 10);
    augment_mix(x, other, SAMPLES, (float)random_beta(r, 0.2));
    masking_clip(&masking, r, T, F, spectrogram, mask, masks_room);
    loss_classes(&loss_options, w, targets, N, C, &loss, g, NULL, NULL);
    loss += loss_squares(x, other, N, C, g) + loss_cosine(x, other, N, C, g) +
            loss_binary(x, zeros, N, C, g);
    assert_true(isfinite(loss));
    double rate = schedule_rate(&schedule, NULL, o->step + 1);
    if (optimizer_step(o, w, g, norm_of(o, g), rate, NULL) < 0)
        fail_msg("no step");
}

static void a_step_allocates_nothing(void **state)
{
    const struct optimizer_options options = OPTIMIZER_PAPER;
    const struct optimizer_range all = {0, P, 1, false, true};
    struct optimizer o;
    struct random r;
    random_seed(&r, 1);
    for (int i = 0; i < SAMPLES; i++) {
        x[i] = (float)random_normal(&r);
        other[i] = (float)random_normal(&r);
    }
    assert_int_equal(optimizer_init(&o, &options, NULL, P, &all, 1, NULL), 0);
    one_step(&o, &r); /* OpenMP's threads are started here */
    atomic_store(&counting, true);
    for (int i = 0; i < 5; i++)
        one_step(&o, &r);
    atomic_store(&counting, false);
    assert_int_equal(atomic_load(&allocated), 0);
    optimizer_finish(&o);
}

static void the_count_counts(void **state)
{
    atomic_store(&counting, true);
    void *volatile p = malloc(10);
    atomic_store(&counting, false);
    free(p);
    assert_int_equal(atomic_exchange(&allocated, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_count_counts),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
