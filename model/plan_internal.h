/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the planner share: it fuses (plan_fuse.c), gives places (plan_places.c), has
 * weights packed and runs (plan.c), and on a device goes between its memory and the host's
 * (plan_device.c). */
#ifndef FOCALD_MODEL_PLAN_INTERNAL_H
#define FOCALD_MODEL_PLAN_INTERNAL_H

#include "model/plan.h"

struct storage { /* a stretch of the arena; several values may be views of it */
    size_t bytes, offset;
    int first, last; /* steps between which it is in use */
};

struct value {
    int storage;
    size_t from, stride; /* cells */
    float *place;        /* instead of a storage, or NULL */
    enum cell_type type;
    float *host; /* of a device: the copy that plan_value gives, or NULL */
};

struct plan_step {
    int node;     /* the operator */
    int value;    /* it produces this one: its own, or the last of those fused into it */
    int scale;    /* CHANNEL_SCALE node folded into the weights, or -1 */
    int residual; /* value it is added to, or -1 */
    int weights; /* …_GRAD: the …_GRAD_WEIGHTS node whose value it produces too, BATCH_NORM: the
                    BATCH_STATISTICS node; or -1 */
    bool gelu, relu;
    struct step *step;
    size_t packed_offset;
    int scratch; /* storage, or -1 */
};

struct plan {
    struct graph graph;
    struct plan_config config;
    struct value *values;    /* [n_nodes] */
    int *consumers;          /* [n_nodes] how many nodes read the value */
    int *reader;             /* [n_nodes] one of them */
    struct plan_step *steps; /* [n_steps] */
    int n_steps;
    struct storage *storages; /* [n_storages] */
    int n_storages;
    size_t arena_bytes, packed_bytes;
    void *packed;               /* owned unless like */
    char *arena;                /* bound */
    struct plan_device *device; /* NULL: runs in the host's memory */
};

/* plan.c: a weight as the provider has it, or NULL. */
const float *plan_weight(struct plan *p, int index, struct error *error);

/* plan_fuse.c: fills p->steps. */
int plan_make_steps(struct plan *p, struct error *error);

/* plan_places.c: every value's type, storage and offset; arena_bytes. After the steps were created.
 */
void plan_assign_types(struct plan *p);
int plan_assign_places(struct plan *p, struct error *error);
/* Bytes of a guard behind each storage with isolate. */
enum { PLAN_GUARD_BYTES = 64 };
/* The value whose memory this one is. */
int plan_whole_of(const struct plan *p, int value);
bool plan_is_view(const struct plan *p, int value);
/* Where the value lies in the backend's memory. */
void *plan_data(const struct plan *p, int value);

/* plan_device.c, all of a device only. */
int plan_device_create(struct plan *p, struct error *error);
void plan_device_destroy(struct plan *p);
int plan_device_run(struct plan *p, int from, int to, struct error *error);
/* The steps alone, as plan.c runs them. */
int plan_run_steps(struct plan *p, int from, int to, struct error *error);
/* Packs step s's weights, which `weights` has in the host's memory. */
int plan_device_pack(struct plan *p, const struct plan_step *s, struct error *error);

#endif
