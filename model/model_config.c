/* SPDX-License-Identifier: Apache-2.0
 * The small files of a model's directory beside config.json: preprocess.json, labels.txt. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/json_values.h"
#include "model/model_internal.h"

/* Preprocess.json */

void preprocess_default(struct model_preprocess *ret)
{
    *ret = (struct model_preprocess){.sample_rate = 16000,
                                     .window_samples = 80000,
                                     .n_fft = 1024,
                                     .win_length = 372,
                                     .hop_length = 186,
                                     .antialias = true,
                                     .scale = 30,
                                     .reject = {.score = REJECT_NONE}};
}

/* Keys that say how, of which there is one way each. */
static int check_ways(const json_t *o, const char *where, struct error *error)
{
    static const char *const ways[][2] = {
        {"normalize", "max"}, {"resize", "bilinear"}, {"head", "cosine"}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const json_t *v = json_object_get(o, ways[i][0]);
        if (v != NULL && (!json_is_string(v) || strcmp(json_string_value(v), ways[i][1]) != 0))
            return json_wrong(where, ways[i][0], v, ways[i][1], error);
    }
    return 0;
}

static int unknown(const char *where, const char *key, struct error *error)
{
    return error_set(error, EINVAL,
                     "%s: unknown key \"%.60s\"; allowed: sample_rate window_s n_fft win_length "
                     "hop_length normalize resize antialias head scale reject",
                     where, text_is_printable(key) ? key : "(control characters)");
}

static int check_known(const json_t *o, const char *where, struct error *error)
{
    static const char *const known[] = {"sample_rate", "window_s",  "n_fft",  "win_length",
                                        "hop_length",  "normalize", "resize", "antialias",
                                        "head",        "scale",     "reject"};
    for (void *it = json_object_iter((json_t *)o); it != NULL;
         it = json_object_iter_next((json_t *)o, it)) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || strcmp(json_object_iter_key(it), known[i]) == 0;
        if (!found)
            return unknown(where, json_object_iter_key(it), error);
    }
    return 0;
}

/* {"score": "cosine", "below": 0.5}; null is as good as absent. */
static int get_reject(const json_t *o, struct model_reject *ret, const char *where,
                      struct error *error)
{
    const json_t *v = json_object_get(o, "reject"), *score = json_object_get(v, "score");
    char place[512];
    if (v == NULL || json_is_null(v))
        return 0;
    snprintf(place, sizeof place, "%.480s: reject", where);
    if (!json_is_object(v) || json_object_size(v) != 2 || !json_is_string(score) ||
        json_object_get(v, "below") == NULL)
        return json_wrong(where, "reject", v,
                          "{\"score\": \"cosine\", \"below\": 0.5} or the like, or null", error);
    int r = reject_score_parse(json_string_value(score), &ret->score, place, error);
    if (r == 0)
        r = json_get_float(v, "below", &ret->below, place, error);
    return r == 0 ? reject_check(ret, place, error) : r;
}

/* 8192 bins are the most that are resized (dsp/resize.c). */
enum { MAX_N_FFT = 2 * (8192 - 1) };

static int check_preprocess(const struct model_preprocess *p, double window_s, const char *where,
                            struct error *error)
{
    if (p->sample_rate < 4000 || p->sample_rate > 192000)
        return error_set(error, EINVAL, "%s: sample_rate is %d; allowed: 4000 to 192000", where,
                         p->sample_rate);
    if (!(window_s >= 0.1 && window_s <= 60))
        return error_set(error, EINVAL, "%s: window_s is %g; allowed: 0.1 to 60", where, window_s);
    if (p->n_fft < 16 || p->n_fft > MAX_N_FFT || p->n_fft % 2 != 0)
        return error_set(error, EINVAL, "%s: n_fft is %d; allowed: even, 16 to %d", where, p->n_fft,
                         MAX_N_FFT);
    if (p->win_length < 2 || p->win_length > p->n_fft || p->win_length > p->window_samples)
        return error_set(error, EINVAL, "%s: win_length is %d; allowed: 2 to n_fft and the window",
                         where, p->win_length);
    if (p->hop_length < (p->win_length + 1) / 2 || p->hop_length > p->win_length)
        return error_set(error, EINVAL,
                         "%s: hop_length is %d; allowed: %d (half of win_length) to win_length",
                         where, p->hop_length, (p->win_length + 1) / 2);
    if (p->window_samples / p->hop_length > 8000)
        return error_set(error, EINVAL, "%s: a window of %d frames; allowed: up to 8000", where,
                         p->window_samples / p->hop_length);
    if (!(p->scale > 0 && p->scale <= 1000))
        return error_set(error, EINVAL, "%s: scale is %g; allowed: above 0, to 1000", where,
                         (double)p->scale);
    return 0;
}

int preprocess_parse(struct model_preprocess *ret, const char *text, size_t length,
                     const char *where, struct error *error)
{
    json_t *o;
    struct model_preprocess p;
    double window_s = 5;
    preprocess_default(&p);
    int r = json_parse_object(&o, text, length, where, error);
    if (r < 0)
        return r;
    r = check_known(o, where, error);
    if (r == 0)
        r = check_ways(o, where, error);
    if (r == 0)
        r = json_get_int(o, "sample_rate", &p.sample_rate, where, error);
    if (r == 0)
        r = json_get_number(o, "window_s", &window_s, where, error);
    if (r == 0)
        r = json_get_int(o, "n_fft", &p.n_fft, where, error);
    if (r == 0)
        r = json_get_int(o, "win_length", &p.win_length, where, error);
    if (r == 0)
        r = json_get_int(o, "hop_length", &p.hop_length, where, error);
    if (r == 0)
        r = json_get_bool(o, "antialias", &p.antialias, where, error);
    if (r == 0)
        r = json_get_float(o, "scale", &p.scale, where, error);
    if (r == 0)
        r = get_reject(o, &p.reject, where, error);
    json_decref(o);
    if (r == 0) {
        double samples = window_s * p.sample_rate;
        p.window_samples = samples > 0 && samples < 1e8 ? (int)lround(samples) : 0;
        r = check_preprocess(&p, window_s, where, error);
    }
    if (r == 0)
        *ret = p;
    return r;
}

/* Labels.txt */

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* jansson's check of UTF-8, since such text goes into JSON. C2 80 to C2 9F are control characters
 * too. */
bool text_is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return false;
    json_t *json = json_string(text);
    json_decref(json);
    return json != NULL;
}

bool text_is_label(const char *text)
{
    size_t n = strlen(text);
    return n > strspn(text, " ") && n <= LABEL_MAX_BYTES && text_is_printable(text);
}

static int check_unique(const char *const *labels, int n, const char *where, struct error *error)
{
    const char **order = calloc((size_t)n, sizeof(*order));
    if (order == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    memcpy(order, labels, (size_t)n * sizeof(*order));
    qsort(order, (size_t)n, sizeof(*order), compare_labels);
    int r = 0;
    for (int i = 1; i < n && r == 0; i++)
        if (strcmp(order[i - 1], order[i]) == 0)
            r = error_set(error, EINVAL, "%s: the label %s stands twice", where, order[i]);
    free(order);
    return r;
}

int labels_parse(const char *text, size_t length, const char *where, const char *const **ret_labels,
                 int *ret_n, struct error *error)
{
    size_t lines = length > 0 && text[length - 1] != '\n';
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    if (memchr(text, '\0', length) != NULL)
        return error_set(error, EINVAL, "%s: it has bytes of zero: it is no text file", where);
    if (lines < 1 || lines > MODEL_MAX_CLASSES)
        return error_set(error, EINVAL, "%s: %zu labels; allowed: 1 to %d, one a line", where,
                         lines, MODEL_MAX_CLASSES);
    const char **labels = malloc(lines * sizeof(*labels) + length + 1);
    if (labels == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    char *copy = (char *)(labels + lines);
    memcpy(copy, text, length);
    copy[length] = '\0';
    int r = 0;
    for (size_t i = 0; i < lines && r == 0; i++) {
        char *end = strchr(copy, '\n');
        char *next = end != NULL ? end + 1 : copy + strlen(copy);
        if (end != NULL)
            *end = '\0';
        if (end != NULL && end > copy && end[-1] == '\r')
            end[-1] = '\0';
        labels[i] = copy;
        if (!text_is_label(copy))
            r = error_set(error, EINVAL,
                          "%s:%zu: allowed: one label a line, 1 to %d bytes of UTF-8 text without "
                          "control characters",
                          where, i + 1, LABEL_MAX_BYTES);
        copy = next;
    }
    if (r == 0)
        r = check_unique(labels, (int)lines, where, error);
    if (r < 0) {
        free(labels);
        return r;
    }
    *ret_labels = labels;
    *ret_n = (int)lines;
    return 0;
}
