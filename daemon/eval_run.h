/* SPDX-License-Identifier: Apache-2.0
 * The evaluation itself: every clip through the network, then what its mask keeps and what it
 * leaves, in batches, with the windows made beside the network.
 *
 * What comes out depends on neither the batch size nor the order in which threads finish. A
 * backend adds up in another order for another number of windows or threads, but in the same order
 * in every place of a run: so the network always hears EVAL_AT_ONCE windows in a run (one where PIQ
 * interprets), idle places included, and a batch is how many are made ready together. All sums over
 * clips are taken afterwards, in the table's order. */
#ifndef FOCALD_DAEMON_EVAL_RUN_H
#define FOCALD_DAEMON_EVAL_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_window.h"
#include "model/model.h"

enum { EVAL_AT_ONCE = 8 };

enum eval_state { EVAL_WAITING, EVAL_DONE, EVAL_SILENT, EVAL_FAILED };

struct eval_outcome { /* of a clip */
    enum eval_state state;
    int best;         /* argmax over all classes: what is explained; -1 unless DONE */
    int predicted;    /* argmax over the classes allowed; -1 unless DONE */
    float p, p_label; /* of best and of the clip's own class (NaN: it has none), softmax of the
                         unscaled cosines */
    float scores[REJECT_COUNT]; /* how sure it is, by each score of reject.h */
    uint64_t bad;               /* samples that were, see dsp/sample.h */
};

struct eval_explained { /* of a clip at a quantile; means of these are the figures */
    float p_in, p_out;  /* of best */
    int best_in;
    double fid_i, fa, ai, ad, ad_double_softmax, ag;
    double kept; /* mean of the mask */
    bool empty;  /* the mask keeps nothing: no sps, no comp */
    double sps, comp;
};

struct eval_results {
    int n, n_quantiles;
    struct eval_outcome *clips;       /* [n] */
    struct eval_explained *explained; /* [n][n_quantiles] */
    double seconds;                   /* from the first clip on: the network was ready */
};

struct eval_config {
    const struct model *model;
    const char *backend; /* see backends.h */
    enum precision precision;
    int threads;             /* of the network, 0: all cores */
    int batch;               /* windows made ready together, rounded up to EVAL_AT_ONCE */
    const double *quantiles; /* [n_quantiles]; none: accuracy only */
    int n_quantiles;
    enum eval_resampler resampler;
    bool among_data; /* only classes that occur in the data are predicted */
    bool keep_going;
    bool keep_nameless;                /* the same of clips of which a window names nothing alone */
    const char *advice;                /* where a clip fails; NULL: of --keep-going */
    const volatile sig_atomic_t *stop; /* nonzero: -EINTR soon; or NULL */
    /* A clip failed, and the work goes on; in the table's order. */
    void (*failed)(void *user, const char *line);
    /* A clip was heard: its window's log-spectrogram [T][F]; in the table's order. NULL: none. */
    void (*heard)(void *user, const struct runner_result *result, const float *logspec);
    /* Clips that are wholly done, and the share of all work. */
    void (*progress)(void *user, int clips, double share);
    void *user;
};

int eval_run(const struct eval_config *config, const struct eval_data *data,
             struct eval_results *ret, struct error *error);
void eval_results_finish(struct eval_results *results); /* also of a zeroed struct */

#endif
