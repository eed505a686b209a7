/* SPDX-License-Identifier: Apache-2.0
 * The card's life, as backend.c puts it into the backend's table. */
#ifndef FOCALD_MODEL_CUDA_CONTEXT_H
#define FOCALD_MODEL_CUDA_CONTEXT_H

#include "model/cuda/cuda.h"

/* backend_device's probe: the first card. */
int cuda_probe(char *ret_name, size_t n, struct error *error);
int cuda_open(struct backend **ret, const struct backend_config *config, struct error *error);
void cuda_close(struct backend *backend);
void cuda_enter(struct backend *backend);

/* backend_device's peak (peak.c). */
int cuda_peak(struct backend *backend, double *ret_flops, struct error *error);

/* backend_device's depthwise (focal_choice.c), and its end. */
bool cuda_focal_chosen(struct backend *backend, int i, struct depthwise_choice *ret);
void cuda_focal_forget(struct backend *backend);

/* Memory and what is enqueued (memory.c). */
extern const struct backend_device cuda_device;
/* training.c */
extern const struct backend_training cuda_training;
/* Before a step: what was uploaded comes first. */
int cuda_join_uploads(struct backend *backend, struct error *error);

#endif
