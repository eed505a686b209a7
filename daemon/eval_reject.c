/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_reject.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The clips of a set that count, as `known` says. */
static int take_clips(const struct eval_data *data, const struct eval_results *results, bool known,
                      enum reject_score score, struct reject_scored *ret, int *ret_labels)
{
    int n = 0;
    for (int i = 0; i < results->n; i++) {
        const struct eval_outcome *out = &results->clips[i];
        const int label = data->clips[i].label;
        if (out->state == EVAL_FAILED || (!known && out->state == EVAL_SILENT))
            continue;
        ret[n] = (struct reject_scored){
            .score = out->state == EVAL_DONE ? out->scores[score] : (float)NAN,
            .known = known,
            .right = known && out->state == EVAL_DONE && out->predicted == label};
        ret_labels[n++] = label;
    }
    return n;
}

int eval_reject_make(struct eval_reject *ret, const struct model_reject *reject,
                     const struct eval_data *data, const struct eval_results *results,
                     const struct eval_data *unknown, const struct eval_results *unknown_results,
                     int n_classes, struct error *error)
{
    struct eval_reject e = {.reject = *reject, .has_unknown = unknown != NULL};
    const size_t all = (size_t)results->n + (size_t)(unknown != NULL ? unknown_results->n : 0);
    struct reject_scored *clips = calloc(all + 1, sizeof *clips);
    int *labels = calloc(all + 1, sizeof *labels), n = 0;
    e.right_named = calloc((size_t)n_classes, sizeof *e.right_named);
    if (clips == NULL || labels == NULL || e.right_named == NULL) {
        free(clips);
        free(labels);
        eval_reject_finish(&e);
        return error_set(error, ENOMEM, "eval: out of memory");
    }
    n = take_clips(data, results, true, reject->score, clips, labels);
    for (int i = 0; i < n; i++)
        e.right_named[labels[i]] += clips[i].right && !reject_is_unknown(reject, clips[i].score);
    if (unknown != NULL)
        n += take_clips(unknown, unknown_results, false, reject->score, clips + n, labels + n);
    reject_count(reject, clips, n, &e.counts);
    free(clips);
    free(labels);
    *ret = e;
    return 0;
}

void eval_reject_finish(struct eval_reject *reject)
{
    free(reject->right_named);
    *reject = (struct eval_reject){0};
}
