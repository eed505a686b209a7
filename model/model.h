/* SPDX-License-Identifier: Apache-2.0
 * A trained model as the rest of focald sees it: a directory with model.safetensors, config.json,
 * preprocess.json and labels.txt, opened, checked and described. */
#ifndef FOCALD_MODEL_MODEL_H
#define FOCALD_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { MODEL_MAX_STAGES = 8 };

/* The numbers before the network (preprocess.json; design §3 where a key is absent). */
struct model_preprocess {
    int sample_rate;    /* 16000 Hz */
    int window_samples; /* 80000 = window_s * sample_rate */
    int n_fft;          /* 1024 */
    int win_length;     /* 372 samples */
    int hop_length;     /* 186 samples */
    bool antialias;     /* of the resize to the network's image */
    float scale;        /* people see softmax(scale * cosine); 30 */
};

struct model_info {
    char name[64];         /* the directory's last name, or the built-in's */
    char architecture[32]; /* "focalnet" */
    char hash[65];         /* SHA-256 of model.safetensors (built-ins: of name and config), hex */
    int image_rows, image_cols; /* the plane the network takes */
    int n_classes;
    const char *const *labels; /* [n_classes], UTF-8, owned by the model */
    int n_stages;
    struct {
        int rows, cols; /* the stage's modulation map */
    } stages[MODEL_MAX_STAGES];
    struct model_preprocess preprocess;
    size_t parameters; /* weights, counted */
    double flops;      /* of one window: 2 * multiply-adds of linear and convolution */
};

struct model; /* immutable after open: may be shared by threads */

/* Opens dir, or the built-in "focalnet-base" geometry with hashed weights (golden/README.md). Every
 * file is validated: the error names file, key or tensor, what was expected and what came.
 * Errors: -ENOENT, -EINVAL (content), -ENOMEM, other errno of open and mmap. */
int model_open(struct model **ret, const char *dir, struct error *error);
void model_close(struct model *model); /* takes NULL; after the last runner is destroyed */
const struct model_info *model_info(const struct model *model);

struct runner_config {
    const char *backend; /* "auto" or "cpu"; "ref" for tests */
    int threads;         /* 1 ... 256; 0: all cores this process may use */
    int max_batch;       /* 1 ... 64 */
};

/* One window's results. Pointers are into the runner and stay valid until its next run. */
struct runner_result {
    const float *cosines;                /* [n_classes] */
    const float *maps[MODEL_MAX_STAGES]; /* [rows][cols] of each stage, last layer's modulator */
    const float *embedding;              /* [channels of the last stage] */
};

struct runner; /* compiled plans for batches up to max_batch; one thread at a time */

int runner_create(struct runner **ret, const struct model *model,
                  const struct runner_config *config, struct error *error);
void runner_destroy(struct runner *runner); /* takes NULL */

/* The backend that was taken ("cpu") and its threads, for health and logs. */
const char *runner_backend(const struct runner *runner);
int runner_threads(const struct runner *runner);

/* Where window i's plane goes before a run: [image_rows][image_cols], 0 <= i < max_batch. */
float *runner_input(struct runner *runner, int i);

/* Runs the network on the first `batch` planes. results: [batch]. Allocates nothing of its own. */
int runner_run(struct runner *runner, int batch, struct runner_result *results,
               struct error *error);

/* softmax(scale * cosines): [n] -> probabilities: [n]; scale 1 is the paper's. */
void softmax_scaled(const float *cosines, int n, float scale, float *ret);

#endif
