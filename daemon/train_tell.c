/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_tell.h"

#include <stdio.h>
#include <string.h>

#include "daemon/train_files.h"

static const struct eval_listing *listing_of(const struct train_data *d, int set)
{
    return d->train[set].listing.n > 0 ? &d->train[set].listing : &d->valid[set].listing;
}

/* What another set of the same directory takes is not left. 0 where that was before this one. */
static uint64_t rest_of(const struct train_data *d, int set, int *ret_clips)
{
    const struct eval_listing *l = listing_of(d, set);
    uint64_t used = 0, rest = 0;
    *ret_clips = 0;
    for (int s = 0; s < d->n_sets && l->n > 0; s++)
        if (listing_of(d, s)->n > 0 && strcmp(listing_of(d, s)->where, l->where) == 0) {
            if (s < set)
                return 0;
            used |= d->train[s].folds | d->valid[s].folds;
        }
    for (int row = 0; row < l->n; row++)
        if (!(used >> l->rows[row].fold & 1)) {
            rest |= UINT64_C(1) << l->rows[row].fold;
            ++*ret_clips;
        }
    return rest;
}

/* Of folds that nobody asked for, as of the fifth where none are named. */
static void tell_rest(const struct train_data *d)
{
    char folds[200];
    int clips;
    for (int s = 0; s < d->n_sets; s++) {
        const uint64_t rest = rest_of(d, s, &clips);
        if (rest == 0)
            continue;
        eval_folds_text(rest, folds, sizeof folds);
        fprintf(stderr, ", %d of %s (fold%s %s) do neither", clips, listing_of(d, s)->where,
                (rest & (rest - 1)) != 0 ? "s" : "", folds);
    }
}

static void tell_counts(const struct train_data *d)
{
    fprintf(stderr, "focald: %d classes, %d clips train, %d validate", d->n_classes, d->n,
            d->n_valid);
    if (d->left_out > 0)
        fprintf(stderr, ", %d cannot be read or are too short, and are left out", d->left_out);
    if (d->unknown_valid > 0)
        fprintf(stderr, ", %d are of classes left out", d->unknown_valid);
    tell_rest(d);
    fputc('\n', stderr);
}

/* A teacher speaks of all clips of a set, or of none. */
static bool is_taught(const struct train_data *d, int set)
{
    for (int i = 0; i < d->n && d->taught != NULL; i++)
        if (d->clips[i].set == set)
            return d->taught[i];
    return false;
}

/* Clips of which the network hears a window only, and which: their label must hold for all of it.
 */
static void tell_longer(const struct train_data *d, const struct model_preprocess *p)
{
    const double window_s = (double)p->window_samples / p->sample_rate;
    int train = 0, taught = 0, valid = 0;
    for (int s = 0; s < d->n_sets; s++) {
        *(is_taught(d, s) ? &taught : &train) +=
            train_files_longer(&d->train[s], d->rate_hz, (size_t)p->window_samples);
        valid += train_files_longer(&d->valid[s], d->rate_hz, (size_t)p->window_samples);
    }
    if (train > 0)
        fprintf(stderr,
                "focald: %d of the clips that train are longer than %g s: each time %g s of them "
                "are drawn\n",
                train, window_s, window_s);
    if (taught > 0)
        fprintf(stderr,
                "focald: %d of the clips that train by a teacher are longer than %g s: their first "
                "%g s do\n",
                taught, window_s, window_s);
    if (valid > 0)
        fprintf(stderr,
                "focald: %d of the clips that validate are longer than %g s: their first %g s do\n",
                valid, window_s, window_s);
}

void train_tell_data(const struct train_data *d, const struct model_preprocess *preprocess)
{
    tell_counts(d);
    tell_longer(d, preprocess);
}

void train_tell_taken(const struct train_config *c, int taken, int all)
{
    char keys[200];
    train_config_geometry_keys(c, keys, sizeof keys);
    if (keys[0] != '\0' && (c->from[0] != '\0' || c->config[0] != '\0'))
        fprintf(stderr, "focald: the geometry is that of %s: [network] %s do%s not count\n",
                c->config[0] != '\0' ? c->config : c->from, keys,
                strchr(keys, ',') == NULL ? "es" : "");
    if (c->from[0] != '\0')
        fprintf(stderr, "focald: %d of %d weights are those of %s\n", taken, all, c->from);
}
