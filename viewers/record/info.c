/* SPDX-License-Identifier: Apache-2.0
 * What a stream says about itself: labels, model, and the numbers of its frames and windows. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "viewers/record/hearing_internal.h"

void hearing_forget_info(struct hearing *h)
{
    for (size_t i = 0; i < h->n_labels; i++)
        free(h->labels[i]);
    free(h->labels);
    free(h->is_private);
    h->labels = NULL;
    h->is_private = NULL;
    h->n_labels = 0;
}

static int take_labels(struct hearing *h, const json_t *labels, struct error *error)
{
    size_t n = json_array_size(labels);
    if (n > CLASSES_MAX)
        return error_set(error, EPROTO, "info/%s: %zu labels; %d are the most", h->name, n,
                         CLASSES_MAX);
    hearing_forget_info(h);
    h->labels = calloc(n + 1, sizeof *h->labels);
    h->is_private = calloc(n + 1, sizeof *h->is_private);
    if (h->labels == NULL || h->is_private == NULL)
        return error_set(error, ENOMEM, "info/%s: out of memory", h->name);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(labels, i));
        char clean[SNIPPET_LABEL_BYTES];
        utf8_clean(text != NULL ? text : "", clean, sizeof clean);
        h->labels[i] = strdup(clean);
        if (h->labels[i] == NULL)
            return error_set(error, ENOMEM, "info/%s: out of memory", h->name);
        h->is_private[i] = settings_rule(h->settings, clean)->private;
        h->n_labels = i + 1;
    }
    return 0;
}

static void copy(char *ret, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    utf8_clean(text != NULL ? text : "", ret, size);
}

static void tell_model(struct hearing *h, const json_t *header)
{
    const json_t *model = json_object_get(header, "model");
    struct store_model m = {.labels = NULL};
    copy(m.hash, sizeof m.hash, model, "hash");
    copy(m.name, sizeof m.name, model, "name");
    copy(m.architecture, sizeof m.architecture, model, "architecture");
    copy(m.interpreter, sizeof m.interpreter, model, "interpreter");
    bool same = strcmp(m.hash, h->model_hash) == 0;
    memcpy(h->model_hash, m.hash, sizeof m.hash);
    if (same || m.hash[0] == '\0')
        return;
    h->rules_told = false;
    m.labels = json_dumps(json_object_get(header, "labels"), JSON_COMPACT);
    writer_model(h->writer, &m);
}

bool hearing_idle_rules(struct hearing *h, char *ret, size_t size)
{
    const struct settings *settings = h->settings;
    bool in_use[SETTINGS_MAX_RULES] = {false};
    size_t at = 0;
    if (h->rules_told || h->n_labels == 0)
        return false;
    h->rules_told = true;
    for (size_t i = 0; i < h->n_labels; i++) {
        const struct rule *rule = settings_rule(settings, h->labels[i]);
        if (rule != &settings->every)
            in_use[rule - settings->rules] = true;
    }
    for (size_t i = 0; i < settings->n_rules && at < size; i++)
        if (!in_use[i])
            at += (size_t)snprintf(ret + at, size - at, "%s[label %s]", at > 0 ? ", " : "",
                                   settings->rules[i].label);
    return at > 0;
}

/* A whole number of the header's within [from, to], or `otherwise`. */
static uint64_t number(const json_t *object, const char *key, double factor, double from, double to,
                       uint64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    double x = json_is_number(value) ? round(json_number_value(value) * factor) : from - 1;
    return x >= from && x <= to ? (uint64_t)x : otherwise;
}

int hearing_take_info(struct hearing *h, const json_t *header, struct error *error)
{
    const json_t *labels = json_object_get(header, "labels");
    if (json_is_array(labels)) {
        int code = take_labels(h, labels, error);
        if (code < 0)
            return code;
    }
    const json_t *preprocess = json_object_get(header, "preprocess");
    const json_t *analysis = json_object_get(header, "analysis");
    int hop_length = (int)number(preprocess, "hop_length", 1, 1, 100000, 186);
    if (hop_length != h->hop_length) {
        h->hop_length = hop_length;
        strip_finish(&h->strip);
    }
    h->window_samples = number(preprocess, "window_samples", 1, 1, 60 * RATE_HZ, 5 * RATE_HZ);
    h->hop_samples = number(analysis, "hop_samples", 1, 1, 60 * RATE_HZ, 7998);
    h->delay_samples = number(analysis, "audio_delay_s", RATE_HZ, 0, 60 * RATE_HZ, 7998);
    tell_model(h, header);
    return 0;
}
