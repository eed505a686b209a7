/* SPDX-License-Identifier: Apache-2.0
 * What a larger network says of every clip of a set, in a safetensors file: "embedding" [N][E] and
 * "scores" [N][S], F16 or F32, a row for each clip of the set in its order (eval_listing.h), those
 * of folds that are not used included. */
#ifndef FOCALD_DAEMON_TRAIN_TEACHER_H
#define FOCALD_DAEMON_TRAIN_TEACHER_H

#include <stdbool.h>

#include "base/error.h"

struct train_teacher {
    int rows;                          /* N */
    int embedding_width, scores_width; /* E, S */
    float *embedding;                  /* [N][E] */
    float *scores;                     /* [N][S], 0..1 */
};

/* -EINVAL where the file has not `rows` rows, the tensor or its type is not as it should be, or a
 * value is not finite or a score beyond 0..1 (the row is named); those of opening; -ENOMEM. */
int train_teacher_read(struct train_teacher *ret, const char *path, int rows, struct error *error);
/* Every column of embeddings: [rows][width] becomes its distance from its mean in standard
 * deviations, both over the rows that are taught; a column of one value becomes 0. What all sounds
 * have in common is no longer what a copy is praised for. */
void train_teacher_standardise(float *embeddings, const bool *taught, int rows, int width);
void train_teacher_finish(struct train_teacher *teacher); /* also of a zeroed struct */

#endif
