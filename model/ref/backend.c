/* SPDX-License-Identifier: Apache-2.0
 * The reference backend: one thread, no vendor's library. */
#include <errno.h>
#include <stdlib.h>

#include "model/ref/ref.h"

struct ref_step {
    struct step step;
    struct step_spec spec;
    struct ref_memory memory;
    const float *weights[GRAPH_MAX_NODE_WEIGHTS];
};

static int ref_open(struct backend **ret, const struct backend_config *config, struct error *error)
{
    (void)config, (void)error;
    *ret = NULL; /* it has no state */
    return 0;
}

static void ref_close(struct backend *backend)
{
    (void)backend;
}

static int ref_step_create(struct backend *backend, const struct step_spec *spec,
                           const struct step *like, struct step **ret, struct error *error)
{
    (void)backend, (void)like;
    struct ref_step *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(error, ENOMEM, "out of memory");
    s->spec = *spec;
    s->step.packed_bytes = ref_weights_bytes(spec);
    s->step.scratch_bytes = ref_scratch(spec) * sizeof(float);
    *ret = &s->step;
    return 0;
}

static void ref_step_destroy(struct step *step)
{
    free(step);
}

static int ref_step_pack(struct step *step, const float *const *weights, void *packed,
                         struct error *error)
{
    (void)error;
    ref_weights_pack(&((struct ref_step *)step)->spec, weights, packed);
    return 0;
}

static int ref_step_bind(struct step *step, const struct step_memory *memory, struct error *error)
{
    (void)error;
    struct ref_step *s = (struct ref_step *)step;
    s->memory = ref_memory_of(memory);
    ref_weights_find(&s->spec, memory->packed, s->weights);
    return 0;
}

static int ref_step_run(struct step *step, struct error *error)
{
    (void)error;
    struct ref_step *s = (struct ref_step *)step;
    ref_operator(s->spec.node->op)(&s->spec, s->weights, &s->memory);
    return 0;
}

static void ref_enter(struct backend *backend)
{
    (void)backend;
}

const struct backend_ops backend_ref = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .step_create = ref_step_create,
    .step_destroy = ref_step_destroy,
    .step_pack = ref_step_pack,
    .step_bind = ref_step_bind,
    .step_run = ref_step_run,
    .enter = ref_enter,
};
