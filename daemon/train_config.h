/* SPDX-License-Identifier: Apache-2.0
 * What a training is to do: an INI file (focald-train(1) describes every key), recipes that set
 * many keys at once, and options that set one. */
#ifndef FOCALD_DAEMON_TRAIN_CONFIG_H
#define FOCALD_DAEMON_TRAIN_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"
#include "model/nets/net.h"
#include "model/train/augment.h"
#include "model/train/loss.h"
#include "model/train/masking.h"
#include "model/train/optimizer.h"
#include "model/train/schedule.h"

enum { TRAIN_MAX_SETS = 16, TRAIN_TEXT = 256 };

struct train_config_set {
    char name[64];
    char dir[PATH_MAX], teacher[PATH_MAX];
    char train[TRAIN_TEXT], valid[TRAIN_TEXT]; /* folds; "" none */
};

struct train_config {
    struct train_config_set sets[TRAIN_MAX_SETS];
    int n_sets;
    char aliases[TRAIN_TEXT * 4];   /* "bird=chirping_birds, …" */
    char labels[PATH_MAX];          /* a labels.txt: only these classes, in this order */
    char leave_out[TRAIN_TEXT * 4]; /* "cat, dog": of these classes the model is not to know */
    bool skip_unknown, keep_unlabelled, keep_going;

    char kind[16], from[PATH_MAX], config[PATH_MAX]; /* config: a config.json */
    int image, embed_dim, patch, head_dim;
    char depths[64], focal_levels[64], focal_windows[64];
    bool conv_embed;
    int hidden_size, layers, heads; /* of ViT */
    double drop_path;               /* of the last layer */
    int freeze;                     /* so many parts from the input on are not trained */
    double layer_decay;             /* of the learning rate, from part to part towards the input */
    char antialias[8];
    bool half;             /* the model's files hold float16 */
    double scale;          /* preprocess.json's */
    char reject[64];       /* likewise: "cosine 0.5", "" where it is not known */
    char interpreter[16];  /* none: a classifier is trained */
    int keys, shared_keys; /* of PIQ */
    bool adapter, reduce;
    double threshold; /* of a spectrogram's largest value: above it the mask is to be 1 */

    char loss[16];
    double margin, loss_scale, smoothing, class_gradient;
    double embedding_weight, scores_weight;
    bool standardise;

    char optimizer[16], schedule[16];
    double rate, base_rate, weight_decay, max_norm, average, beta2;
    bool decay_norms, schedule_validation;
    int step_size;
    double warmup_epochs;

    double drop_probability;
    int chunks_low, chunks_high, chunk_samples_low, chunk_samples_high, notches_low, notches_high;
    double shift_s;
    bool shift_circular;
    double gain_db, equalizer_db, stretch_time, stretch_pitch;
    double background_probability, background_low_db, background_high_db;
    double mixup_probability, mixup_alpha;

    int time_bands, time_frames, frequency_bands, frequency_bins;
    double keep_probability, remove_probability, share_low, share_high, roughness;
    double own_probability, own_share, own_keep;

    int epochs, batch, seed, threads, workers;
    int valid_every, explain_every;
    double quantile, fidelity_weight;
    bool checkpoint_activations;
    char backend[16], precision[16], depthwise[16];
};

/* The defaults, which train from scratch on little data. */
void train_config_default(struct train_config *ret);
/* "paper": the paper's; "piq": its interpreter's; "home": from scratch on little data, for two
 * cores. -EINVAL: what there is. */
int train_config_recipe(struct train_config *config, const char *name, struct error *error);
/* A file's keys over what is there. */
int train_config_read(struct train_config *config, const char *path, struct error *error);
/* One key. where: for errors. section: "run", "data NAME". */
int train_config_set(struct train_config *config, const char *where, const char *section,
                     const char *key, const char *value, struct error *error);
/* -EINVAL: a value that does not go with another, or that its file could not give again, and what
 * is allowed. */
int train_config_check(const struct train_config *config, struct error *error);
/* As a file that gives the same again, after that check. From malloc; NULL when memory is
 * exhausted. */
char *train_config_text(const struct train_config *config);
/* The same without keys that are younger than runs that may go on, where they change nothing: what
 * a run is known again by. */
char *train_config_identity(const struct train_config *config);

/* An interpreter is trained, beside a classifier that stays as it is. */
bool train_config_interpreter(const struct train_config *config);

/* Keys of the geometry that are not at their defaults: "embed_dim, depths"; "" none. */
void train_config_geometry_keys(const struct train_config *config, char *ret, size_t size);
/* config.json's text for the geometry, from malloc; NULL when memory is exhausted. */
char *train_config_geometry(const struct train_config *config);
/* preprocess.json's; antialias: what `auto` is. */
char *train_config_preprocess(const struct train_config *config, bool antialias);

/* Batches that the schedule counts: those that train, and, with schedule_validation, those that
 * validate; trained of an epoch, validated of a validation. */
struct train_config_steps {
    uint64_t trained, validated;
};
/* The schedule's step of batch `batch`, from 1, of epoch `epoch`, from 1. */
uint64_t train_config_step(const struct train_config *config,
                           const struct train_config_steps *steps, int epoch, uint64_t batch);

/* What the parts take. -EINVAL: what is wrong and what it may be. */
int train_config_options(const struct train_config *config, const struct train_config_steps *steps,
                         struct loss_options *loss, struct optimizer_options *optimizer,
                         struct schedule_options *schedule, struct error *error);
int train_config_changes(const struct train_config *config, struct augment_settings *augment,
                         struct masking_settings *masking, struct error *error);

#endif
