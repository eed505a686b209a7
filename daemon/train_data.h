/* SPDX-License-Identifier: Apache-2.0
 * What a training learns from and is measured by: the clips of several labelled sets, chosen by
 * fold and brought under one list of classes, with what a teacher says of them. */
#ifndef FOCALD_DAEMON_TRAIN_DATA_H
#define FOCALD_DAEMON_TRAIN_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/eval_data.h"
#include "model/train/cache.h"

struct train_set {
    const char *dir;                   /* eval_listing.h says of what layouts */
    uint64_t train_folds, valid_folds; /* 0: none of this set */
    const char *teacher;               /* safetensors (train_teacher.h), or NULL */
};

struct train_data_config {
    const struct train_set *sets; /* [n_sets] */
    int n_sets;
    const char *const *aliases; /* [n_aliases] "bird=chirping_birds", for all sets */
    int n_aliases;
    const char *const *labels; /* [n_labels], in this order; NULL: all classes of the sets */
    int n_labels;
    const char *const *left_out; /* [n_left_out] of the classes, which the model is not to know:
                                    their clips neither train nor validate */
    int n_left_out;
    bool may_lack;        /* not all of these classes need have training clips */
    bool skip_unknown;    /* clips of classes that are not among labels are left out */
    bool keep_unlabelled; /* they train, label -1, where a teacher speaks of them; implies
                             skip_unknown for the others, and for validation */
    bool standardise;     /* teachers' embeddings, over the clips that train */
    bool keep_going;      /* clips that cannot be read, or are too short, are left out */
    int rate_hz;          /* what the cache will be resampled to */
    size_t least_samples; /* a clip must have, at this rate: one frame of the spectrogram */
};

struct train_clip {
    const char *path;
    int label; /* -1: none */
    int set;
    int row; /* of the set's table (eval_clip) */
    int fold;
};

struct train_data {
    char **labels; /* [n_classes] as given, or sorted by their bytes */
    int n_classes;
    struct train_clip *clips; /* [n] of the training folds, set after set, in each table's order */
    int n, n_labelled;
    int n_sets;
    struct eval_data
        *valid;          /* [n_sets] what eval_run takes for the validation folds; n = 0: none */
    int n_valid;         /* clips of all of them */
    int left_out;        /* by keep_going */
    int skipped_unknown; /* of the training and the validation folds */
    int unknown_valid;   /* clips of the validation folds of classes that are left out */
    int rate_hz;
    size_t least_samples;

    /* The teacher, or NULL and 0 where no set has one: [n] rows, zeros where the clip has none. */
    float *embeddings; /* [n][embedding_width] */
    float *scores;     /* [n][scores_width] */
    bool *taught;      /* [n] */
    int embedding_width, scores_width;

    struct eval_data *train; /* [n_sets] whose paths clips name */
};

/* Every error is one line that names what is wrong. -EINVAL: a class of the list has no training
 * clip, one that is left out is none of them, no clip trains or none validates, one does both, one
 * is too short or no sound; all of eval_data_read's and train_teacher_read's. Opens every file,
 * and decodes those that validate, and with keep_going all. */
int train_data_read(struct train_data *ret, const struct train_data_config *config,
                    struct error *error);
void train_data_finish(struct train_data *data); /* also of a zeroed struct */

/* The training clips' samples, whole and as eval hears them (sinc_resample.h), by the index of
 * data->clips: cache_ready, which says what it returns and what why is for. Also -EINTR when a
 * signal came (stop.h), and a clip of which there is less than its header says. Prints nothing. */
int train_data_cache(struct cache **ret, const struct train_data *data, const char *path,
                     struct error *why, struct error *error);

#endif
