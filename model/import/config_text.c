/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/config_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/import/labels.h"

bool config_labels_agree(const json_t *config, const char *const *labels, int n)
{
    json_t *ours = labels_to_id2label(labels, n);
    bool agree = ours != NULL && json_equal(json_object_get(config, "id2label"), ours);
    json_decref(ours);
    return agree;
}

/* Where the object's last value ends. */
static size_t end_of_values(const char *text)
{
    const char *brace = strrchr(text, '}');
    size_t at = brace != NULL ? (size_t)(brace - text) : 0;
    while (at > 0 && strchr(" \t\r\n", text[at - 1]) != NULL)
        at--;
    return at;
}

/* What export adds behind the last value. */
static char *label_text(const char *const *labels, int n)
{
    json_t *names = labels_to_id2label(labels, n), *numbers = labels_to_label2id(labels, n);
    char *to_label = json_dumps(names, 0), *to_id = json_dumps(numbers, 0), *text = NULL;
    if (to_label != NULL && to_id != NULL &&
        asprintf(&text, "\n \"id2label\": %s,\n \"label2id\": %s", to_label, to_id) < 0)
        text = NULL;
    free(to_label);
    free(to_id);
    json_decref(names);
    json_decref(numbers);
    return text;
}

/* Written anew without the labels. */
static char *without_labels(json_t *config)
{
    static const char *const keys[] = {"id2label", "label2id", "num_labels"};
    char *dumped = NULL, *text = NULL;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        json_object_del(config, keys[i]);
    dumped = json_dumps(config, JSON_INDENT(2));
    if (dumped != NULL && asprintf(&text, "%s\n", dumped) < 0)
        text = NULL;
    free(dumped);
    return text;
}

static bool has_labels(const json_t *config)
{
    return json_object_get(config, "id2label") != NULL ||
           json_object_get(config, "label2id") != NULL;
}

static char *insert_labels(const char *text, const char *const *labels, int n)
{
    size_t at = end_of_values(text);
    char *added = label_text(labels, n), *ret = NULL;
    const char *comma = at > 0 && text[at - 1] == '{' ? "" : ",";
    if (added == NULL || asprintf(&ret, "%.*s%s%s%s", (int)at, text, comma, added, text + at) < 0)
        ret = NULL;
    free(added);
    return ret;
}

char *config_add_labels(const char *text, const char *const *labels, int n)
{
    json_t *config = json_loads(text, 0, NULL);
    char *ret = NULL;
    if (config_labels_agree(config, labels, n)) {
        ret = strdup(text);
    } else if (has_labels(config)) {
        char *bare = without_labels(config);
        ret = bare != NULL ? insert_labels(bare, labels, n) : NULL;
        free(bare);
    } else {
        ret = insert_labels(text, labels, n);
    }
    json_decref(config);
    return ret;
}

char *config_remove_labels(const char *text, const char *const *labels, int n)
{
    char *added = label_text(labels, n), *ret = NULL;
    if (added == NULL)
        return NULL;
    size_t at = end_of_values(text), length = strlen(added);
    json_t *config = json_loads(text, 0, NULL);
    if (at > length && strncmp(text + at - length, added, length) == 0) {
        size_t before = at - length;
        before -= text[before - 1] == ',';
        if (asprintf(&ret, "%.*s%s", (int)before, text, text + at) < 0)
            ret = NULL;
    } else if (has_labels(config) && !config_labels_agree(config, labels, n)) {
        ret = without_labels(config);
    } else {
        ret = strdup(text);
    }
    json_decref(config);
    free(added);
    return ret;
}
