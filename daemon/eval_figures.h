/* SPDX-License-Identifier: Apache-2.0
 * An evaluation's figures: what its clips come to, summed in the table's order. */
#ifndef FOCALD_DAEMON_EVAL_FIGURES_H
#define FOCALD_DAEMON_EVAL_FIGURES_H

#include "base/error.h"
#include "daemon/eval_data.h"
#include "daemon/eval_run.h"

/* Means over the clips that were heard; model/interpret/metrics.h says of what. sps and comp are
 * over those whose mask keeps something. NaN: there is no such clip. */
struct eval_explanation {
    double quantile;
    double fid_i, fa, fa_median, ff, ai, ad, ad_double_softmax, ag, sps, comp, kept;
    int empty; /* masks that keep nothing */
};

struct eval_confusion {
    int label, predicted, clips;
};

struct eval_figures {
    int clips;   /* of the folds and of classes that the model knows */
    int counted; /* of them: all but the failed; accuracy is over these */
    int heard;   /* of them: all but the silent; interpretations are over these */
    int silent, failed, correct;
    uint64_t bad_samples;
    double accuracy;
    double class_accuracy;        /* mean over the classes that occur */
    int n_classes;                /* of the model */
    int n_present;                /* that occur */
    int *class_clips;             /* [n_classes] counted */
    int *class_correct;           /* [n_classes] */
    int *confusion;               /* [n_classes label][n_classes predicted], heard */
    struct eval_confusion *worst; /* [n_worst] pairs that are mistaken, most clips first */
    int n_worst;
    struct eval_explanation *explanations; /* [n_quantiles] */
    int n_quantiles;
};

int eval_figures_make(struct eval_figures *ret, const struct eval_data *data,
                      const struct eval_results *results, const double *quantiles, int n_classes,
                      struct error *error);
void eval_figures_finish(struct eval_figures *figures); /* also of a zeroed struct */

#endif
