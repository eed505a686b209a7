/* SPDX-License-Identifier: Apache-2.0
 * A trained model as the rest of focald sees it: a directory with model.safetensors, config.json,
 * preprocess.json and labels.txt, opened, checked and described. */
#ifndef FOCALD_MODEL_MODEL_H
#define FOCALD_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/depthwise.h"
#include "model/precision.h"
#include "model/reject.h"

enum { MODEL_MAX_MAPS = 9 };

/* The numbers before the network (preprocess.json; design §3 where a key is absent). */
struct model_preprocess {
    int sample_rate;            /* 16000 Hz */
    int window_samples;         /* 80000 = window_s * sample_rate */
    int n_fft;                  /* 1024 */
    int win_length;             /* 372 samples */
    int hop_length;             /* 186 samples */
    bool antialias;             /* of the resize to the network's image */
    float scale;                /* people see softmax(scale * cosine); 30 */
    struct model_reject reject; /* what has no name; REJECT_NONE where the key is absent */
};

/* What says which part of the sound was heard. */
enum interpreter {
    INTERPRETER_AUTO,       /* the network's own map: of the next two the one it has */
    INTERPRETER_MODULATION, /* FocalNet: the last stage's modulation map */
    INTERPRETER_ATTENTION,  /* ViT: the cls token's attention in the last layer */
    INTERPRETER_PIQ,        /* a mask from an interpreter trained beside the network */
};
const char *interpreter_name(enum interpreter interpreter);
/* 0, or -EINVAL naming what is allowed. */
int interpreter_parse(const char *name, enum interpreter *ret, struct error *error);

struct model_info {
    char name[64];         /* the directory's last name, or the built-in's */
    char architecture[32]; /* "focalnet", "vit" */
    char hash[65];         /* SHA-256 of model.safetensors (built-ins: of name and config), hex */
    int image_rows, image_cols; /* the plane the network takes */
    int n_classes;
    const char *const *labels;    /* [n_classes], UTF-8, owned by the model */
    enum interpreter interpreter; /* in use, never AUTO */
    int n_maps; /* FocalNet: its stages'; ViT: one. The last interprets; that of PIQ is one more, a
                   mask of 0 ... 1 of the size of a window's spectrogram */
    struct {
        int rows, cols;
    } maps[MODEL_MAX_MAPS];
    struct model_preprocess preprocess;
    size_t parameters; /* weights, counted, PIQ's included */
    double flops;      /* of one window: 2 * multiply-adds of linear, convolution and attention */
};

struct model; /* immutable after open: may be shared by threads */

/* Opens dir, or a built-in geometry of the paper with hashed weights (golden/README.md):
 * "focalnet-base", "vit-base", and both with "-piq". Every file is validated: the error names file,
 * key or tensor, what was expected and what came. Errors: -ENOENT, -EINVAL (content), -ENOMEM,
 * other errno of open and mmap. */
int model_open(struct model **ret, const char *dir, struct error *error);
/* The same with a certain interpreter; -EINVAL where the model does not have it. */
int model_open_with(struct model **ret, const char *dir, enum interpreter interpreter,
                    struct error *error);
void model_close(struct model *model); /* takes NULL; after the last runner is destroyed */
const struct model_info *model_info(const struct model *model);

struct runner_config {
    const char *backend;      /* by its name, see backends.h: "auto", "cpu", "cuda" */
    enum precision precision; /* likewise */
    enum depthwise depthwise;
    int threads;      /* 1 ... 256; 0: all cores this process may use */
    int max_batch;    /* 1 ... 64 */
    bool fallback;    /* with "auto": where a GPU is there and cannot be used, on the CPU */
    bool without_piq; /* only classify: PIQ is not run, and its map is not given */
};

/* One window's results. Pointers are into the runner and stay valid until its next run. */
struct runner_result {
    const float *cosines;              /* [n_classes] */
    const float *maps[MODEL_MAX_MAPS]; /* [rows][cols] each; the last interprets */
    const float *embedding;            /* [channels of the last stage] */
    const float *hcat, *z_q_x;         /* PIQ: what it quantises and the keys' vectors; else NULL */
    size_t quantised;                  /* values of each */
};

struct runner; /* compiled plans for batches up to max_batch; one thread at a time */

int runner_create(struct runner **ret, const struct model *model,
                  const struct runner_config *config, struct error *error);
/* With random weights, by a seed, in the first so many of cascade.h's parts; for the sanity check.
 */
int runner_create_random(struct runner **ret, const struct model *model,
                         const struct runner_config *config, int random_parts, uint64_t seed,
                         struct error *error);
void runner_destroy(struct runner *runner); /* takes NULL */

/* The backend that was taken ("cpu"), its precision and threads, for health and logs. */
const char *runner_backend(const struct runner *runner);
enum precision runner_precision(const struct runner *runner);
/* Which way the i-th of its focal contexts takes, on a GPU and of those that could take either;
 * false: there is none. */
bool runner_depthwise(const struct runner *runner, int i, struct depthwise_choice *ret);
int runner_threads(const struct runner *runner);
/* Why the fallback was taken; "" where it was not. */
const char *runner_trouble(const struct runner *runner);

/* Where window i's plane goes before a run: [image_rows][image_cols], 0 <= i < max_batch. */
float *runner_input(struct runner *runner, int i);

/* Runs the network on the first `batch` planes. results: [batch]. Allocates nothing of its own. */
int runner_run(struct runner *runner, int batch, struct runner_result *results,
               struct error *error);
/* A result names nothing where its cosines, or the map that interprets, are not finite: -ERANGE,
 * with the model and, of float16, what to choose instead. */
int runner_check(const struct runner *runner, const struct runner_result *result,
                 struct error *error);

/* softmax(scale * cosines): [n] -> probabilities: [n]; scale 1 is the paper's. */
void softmax_scaled(const float *cosines, int n, float scale, float *ret);

#endif
