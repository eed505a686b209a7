/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/labels.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/json_values.h"
#include "model/model_internal.h"

/* Joining */

/* The labels as lines; frees nothing. */
static int join(char **ret, char *const *labels, int n, const char *where, struct error *error)
{
    size_t size = 1;
    for (int i = 0; i < n; i++)
        size += strlen(labels[i]) + 1;
    char *text = malloc(size), *at = text;
    if (text == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    *at = '\0';
    for (int i = 0; i < n; i++) {
        at = stpcpy(at, labels[i]);
        *at++ = '\n';
        *at = '\0';
    }
    const char *const *checked;
    int count, r = labels_parse(text, (size_t)(at - text), where, &checked, &count, error);
    if (r < 0) {
        free(text);
        return r;
    }
    free((void *)checked);
    *ret = text;
    return 0;
}

static void free_labels(char **labels, int n)
{
    for (int i = 0; labels != NULL && i < n; i++)
        free(labels[i]);
    free(labels);
}

/* Python's literals */

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Exactly n digits of base 16, or up to n of base 8. Returns what is behind them, or NULL. */
static const char *take_digits(const char *at, int n, int base, uint32_t *ret)
{
    *ret = 0;
    for (int i = 0; i < n; i++, at++) {
        int c = *at | 0x20, digit = -1;
        if (*at >= '0' && *at <= '9')
            digit = *at - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        if (digit < 0 || digit >= base)
            return base == 16 ? NULL : at;
        *ret = *ret * (uint32_t)base + (uint32_t)digit;
    }
    return at;
}

/* The escape behind a backslash at `at`; *to gets its character. Returns what is behind, or NULL.
 */
static const char *take_escape(const char *at, char **to)
{
    static const char names[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    const char *name = *at != '\0' ? strchr(names, *at) : NULL;
    uint32_t c = 0;
    if (name != NULL) {
        *(*to)++ = values[name - names];
        return at + 1;
    }
    if (*at >= '0' && *at <= '7')
        at = take_digits(at, 3, 8, &c);
    else if (*at == 'x' || *at == 'u' || *at == 'U')
        at = take_digits(at + 1, *at == 'x' ? 2 : *at == 'u' ? 4 : 8, 16, &c);
    else
        return NULL;
    if (at == NULL || c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return NULL;
    *to = put_utf8(*to, c);
    return at;
}

/* A string in either kind of quotes, or a whole number, at `at`; its text, no longer than it, into
 * `to`. Returns what is behind it, or NULL. */
static const char *take_literal(const char *at, char *to)
{
    if (*at != '\'' && *at != '"') {
        const char *start = at;
        if (*at == '-')
            *to++ = *at++;
        while (*at >= '0' && *at <= '9')
            *to++ = *at++;
        *to = '\0';
        return at > start && at[-1] != '-' ? at : NULL;
    }
    char quote = *at++;
    while (*at != quote) {
        if (*at == '\0')
            return NULL;
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        at = take_escape(at + 1, &to);
        if (at == NULL)
            return NULL;
    }
    *to = '\0';
    return at + 1;
}

/* SpeechBrain */

struct encoder {
    struct {
        char *label;
        long index;
        int line;
    } * entries;
    int n;
    long starting_index;
    const char *where;
};

static int odd_line(const struct encoder *e, int line, struct error *error)
{
    return error_set(error, EINVAL,
                     "%s:%d: no line of SpeechBrain's label encoder; expected: 'label' => index",
                     e->where, line);
}

/* `literal => integer`, or with any: `literal => anything`, for extras. */
static int read_line(const struct encoder *e, const char *text, int line, bool any, char *label,
                     long *ret_index, struct error *error)
{
    const char *at = take_literal(text, label);
    if (at == NULL || strncmp(at, " => ", 4) != 0)
        return odd_line(e, line, error);
    char *end;
    errno = 0;
    *ret_index = strtol(at + 4, &end, 10);
    bool number = end != at + 4 && end[strspn(end, " \t\r")] == '\0' && errno == 0;
    if (!number && !any)
        return odd_line(e, line, error);
    return 0;
}

static int add_entry(struct encoder *e, const char *label, long index, int line,
                     struct error *error)
{
    if (!text_is_label(label))
        return error_set(error, EINVAL,
                         "%s:%d: allowed: a label of 1 to %d bytes of UTF-8 text without control "
                         "characters",
                         e->where, line, LABEL_MAX_BYTES);
    if (e->n == MODEL_MAX_CLASSES)
        return error_set(error, EINVAL, "%s: more than %d labels", e->where, MODEL_MAX_CLASSES);
    e->entries[e->n].label = strdup(label);
    if (e->entries[e->n].label == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", e->where);
    e->entries[e->n].index = index;
    e->entries[e->n++].line = line;
    return 0;
}

static int start_at(struct encoder *e, long index, int line, struct error *error)
{
    if (index < 0 || index > MODEL_MAX_CLASSES)
        return error_set(error, EINVAL, "%s:%d: starting_index is %ld; allowed: 0 to %d", e->where,
                         line, index, MODEL_MAX_CLASSES);
    e->starting_index = index;
    return 0;
}

/* text: changed. */
static int read_lines(struct encoder *e, char *text, char *label, struct error *error)
{
    bool extras = false;
    int r = 0, line = 1;
    for (char *next; text != NULL && *text != '\0' && r == 0; text = next, line++) {
        char *end = strchr(text, '\n');
        long index = 0;
        next = end != NULL ? end + 1 : NULL;
        if (end != NULL)
            *end = '\0';
        text[strcspn(text, "\r")] = '\0';
        if (*text == '\0')
            continue;
        if (!extras && text[strspn(text, "=")] == '\0') {
            extras = true;
            continue;
        }
        r = read_line(e, text, line, extras, label, &index, error);
        if (r == 0 && !extras)
            r = add_entry(e, label, index, line, error);
        else if (r == 0 && strcmp(label, "starting_index") == 0)
            r = start_at(e, index, line, error);
    }
    return r;
}

/* Puts each label in its place: classes 0 … n - 1, each once. */
static int place(const struct encoder *e, char **labels, int classes, struct error *error)
{
    for (int i = 0; i < e->n; i++) {
        long index = e->entries[i].index;
        bool fits = index >= e->starting_index && index - e->starting_index < classes;
        long at = fits ? index - e->starting_index : 0;
        if (!fits)
            return error_set(error, EINVAL,
                             "%s:%d: index %ld of '%.80s' is none of the classifier's %d classes "
                             "(%ld to %ld)",
                             e->where, e->entries[i].line, index, e->entries[i].label, classes,
                             e->starting_index, e->starting_index + classes - 1);
        if (labels[at] != NULL)
            return error_set(error, EINVAL, "%s:%d: index %ld is that of '%.80s' and '%.80s'",
                             e->where, e->entries[i].line, index, labels[at], e->entries[i].label);
        labels[at] = e->entries[i].label;
    }
    for (int i = 0; i < classes; i++)
        if (labels[i] == NULL)
            return error_set(error, EINVAL,
                             "%s: %d label%s, none with index %ld; the classifier has %d classes, "
                             "and each needs its label",
                             e->where, e->n, e->n == 1 ? "" : "s", e->starting_index + i, classes);
    return 0;
}

int labels_from_encoder(char **ret, const char *text, size_t length, int classes, const char *where,
                        struct error *error)
{
    if (memchr(text, '\0', length) != NULL)
        return error_set(error, EINVAL, "%s: it has bytes of zero: it is no text file", where);
    struct encoder e = {.where = where};
    size_t lines = 1;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    char *copy = strdup(text), *label = malloc(length + 1);
    char **labels = calloc((size_t)classes, sizeof *labels);
    e.entries = calloc(lines, sizeof *e.entries);
    int r;
    if (copy == NULL || label == NULL || labels == NULL || e.entries == NULL)
        r = error_set(error, ENOMEM, "%s: out of memory", where);
    else
        r = read_lines(&e, copy, label, error);
    if (r == 0)
        r = place(&e, labels, classes, error);
    if (r == 0)
        r = join(ret, labels, classes, where, error);
    for (int i = 0; i < e.n; i++)
        free(e.entries[i].label);
    free(e.entries);
    free(labels);
    free(label);
    free(copy);
    return r;
}

/* Hugging Face */

int labels_from_id2label(char **ret, const json_t *id2label, int classes, const char *where,
                         struct error *error)
{
    char **labels = calloc((size_t)classes, sizeof *labels);
    int r = labels == NULL ? error_set(error, ENOMEM, "%s: out of memory", where) : 0;
    if (r == 0 && json_object_size(id2label) != (size_t)classes)
        r = error_set(error, EINVAL,
                      "%s: id2label has %zu labels; the classifier has %d classes; give --labels "
                      "FILE with one a line",
                      where, json_object_size(id2label), classes);
    for (int i = 0; i < classes && r == 0; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        const json_t *value = json_object_get(id2label, key);
        const char *label = json_string_value(value);
        if (label == NULL || !text_is_label(label))
            r = error_set(error, EINVAL,
                          "%s: id2label has no printable label for class %d; expected: \"%d\": "
                          "text of 1 to %d bytes",
                          where, i, i, LABEL_MAX_BYTES);
        else if ((labels[i] = strdup(label)) == NULL)
            r = error_set(error, ENOMEM, "%s: out of memory", where);
    }
    if (r == 0)
        r = join(ret, labels, classes, where, error);
    free_labels(labels, classes);
    return r;
}

json_t *labels_to_id2label(const char *const *labels, int n)
{
    json_t *o = json_object();
    for (int i = 0; i < n && o != NULL; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        json_object_set_new(o, key, json_string(labels[i]));
    }
    return o;
}

json_t *labels_to_label2id(const char *const *labels, int n)
{
    json_t *o = json_object();
    for (int i = 0; i < n && o != NULL; i++)
        json_object_set_new(o, labels[i], json_integer(i));
    return o;
}
