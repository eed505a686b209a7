/* SPDX-License-Identifier: Apache-2.0
 * Files in golden/'s formats against our own numbers: every tensor's largest error beside the limit
 * that golden/README.md gives. Used by the tests and by the parity tool. */
#ifndef FOCALD_TESTS_MODEL_GOLDEN_H
#define FOCALD_TESTS_MODEL_GOLDEN_H

#include <stdbool.h>

#include "base/error.h"
#include "model/backend.h"
#include "model/weights/safetensors.h"

enum golden_kind {
    GOLDEN_UNKNOWN,
    GOLDEN_DSP,
    GOLDEN_FOCALNET,
    GOLDEN_VIT,
    GOLDEN_PIQ,
    GOLDEN_TRAIN_STEPS
};

const char *golden_kind_name(enum golden_kind kind);
/* By the tensors the file holds. */
enum golden_kind golden_kind_of(const struct safetensors *file);

/* One tensor of the file. within is !(error > limit) with NaN failing; what: how error is measured,
 * "" where it is the largest absolute difference. */
struct golden_line {
    const char *tensor;
    double error, limit;
    bool within;
    const char *what;
};
typedef void (*golden_line_report)(void *user, const struct golden_line *line);

struct golden_backend {
    const struct backend_ops *ops;
    int threads;
    bool isolate;             /* see plan_config */
    bool forward;             /* only the forward pass in evaluation mode */
    enum precision precision; /* another than float32 widens the limits */
    enum depthwise depthwise; /* of a GPU */
};

/* Each runs the network of a file of its kind on the file's inputs and reports every tensor of the
 * forward pass. Returns 0 however large the errors are, or a negative errno where the file cannot
 * be used. */
typedef int golden_check(const struct safetensors *file, const struct golden_backend *backend,
                         golden_line_report report, void *user, struct error *error);
golden_check golden_focalnet, golden_vit, golden_piq, golden_train;

#endif
