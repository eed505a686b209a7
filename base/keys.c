/* SPDX-License-Identifier: Apache-2.0 */
#include "base/keys.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The recipe's frames, for hops given as time. */
static const double frames_per_second = 16000.0 / 186;

/* A number and its unit; 0 when there is no number. unit: what follows it. */
static bool split_number(const char *text, double *ret, const char **ret_unit)
{
    char *end;
    errno = 0;
    *ret = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(*ret))
        return false;
    *ret_unit = end + strspn(end, " \t");
    return true;
}

/* Seconds; an absent unit is seconds. */
static bool parse_seconds(const char *text, double *ret)
{
    const char *unit;
    if (!split_number(text, ret, &unit))
        return false;
    if (strcmp(unit, "ms") == 0)
        *ret *= 1e-3;
    else if (strcmp(unit, "s") != 0 && *unit != '\0')
        return false;
    return true;
}

struct unit {
    const char *name;
    double size;
};

static const struct unit spans[] = {
    {"s", 1},        {"", 1},        {"ms", 1e-3}, {"min", 60},       {"h", 3600},
    {"days", 86400}, {"day", 86400}, {"d", 86400}, {"weeks", 604800}, {"years", 365.25 * 86400},
};
static const struct unit sizes[] = {{"B", 1},    {"", 1},     {"kB", 1e3}, {"KB", 1e3},
                                    {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};

/* A number with one of the units: [n] */
static bool parse_unit(const char *text, const struct unit *units, size_t n, double *ret)
{
    const char *name;
    if (!split_number(text, ret, &name))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, units[i].name) == 0) {
            *ret *= units[i].size;
            return true;
        }
    return false;
}

/* In the largest unit that leaves a whole number, or else in the first. */
static void unit_text(double value, const struct unit *units, size_t n, char *ret, size_t size)
{
    const struct unit *best = &units[0];
    for (size_t i = 1; i < n; i++)
        if (units[i].size > best->size && fmod(value, units[i].size) == 0 && value > 0)
            best = &units[i];
    snprintf(ret, size, "%.9g %s", value / best->size, best->name);
}

static bool parse_hop(const char *text, double *ret)
{
    const char *unit;
    if (!split_number(text, ret, &unit))
        return false;
    if (strcmp(unit, "frames") == 0 || strcmp(unit, "frame") == 0)
        return *ret == floor(*ret);
    if (!parse_seconds(text, ret))
        return false;
    *ret = round(*ret * frames_per_second);
    return true;
}

static bool parse_plain(const char *text, const char *optional_unit, double *ret)
{
    const char *unit;
    return split_number(text, ret, &unit) && (*unit == '\0' || strcmp(unit, optional_unit) == 0);
}

static bool parse_yes_no(const char *text, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false",
                                                                                "off", "0"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; n > 0 && (at = strstr(at, text)) != NULL; at++)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

void key_allowed(const struct key *k, char *ret, size_t size)
{
    switch (k->kind) {
    case KIND_TEXT:
        snprintf(ret, size, "a text of at most %zu bytes", k->size - 1);
        return;
    case KIND_CHOICE:
        snprintf(ret, size, "one of: %s", k->choices);
        return;
    case KIND_YES_NO:
        snprintf(ret, size, "yes or no");
        return;
    case KIND_INTEGER:
        snprintf(ret, size, "a whole number from %g to %g", k->from, k->to);
        return;
    case KIND_NUMBER:
        snprintf(ret, size, "a number from %g to %g", k->from, k->to);
        return;
    case KIND_SECONDS:
        snprintf(ret, size, "a time from %g s to %g s, as in \"0.5 s\" or \"500 ms\"", k->from,
                 k->to);
        return;
    case KIND_SPAN:
    case KIND_BYTES: {
        char from[48], to[48];
        const struct unit *units = k->kind == KIND_SPAN ? spans : sizes;
        size_t n = k->kind == KIND_SPAN ? ARRAY_LEN(spans) : ARRAY_LEN(sizes);
        unit_text(k->from, units, n, from, sizeof from);
        unit_text(k->to, units, n, to, sizeof to);
        snprintf(ret, size, "%s from %s to %s, as in %s",
                 k->kind == KIND_SPAN ? "a time" : "a size", from, to,
                 k->kind == KIND_SPAN ? "\"30 days\" or \"12 h\"" : "\"10 GB\"");
        return;
    }
    case KIND_DBFS:
        snprintf(ret, size, "a level from %g dBFS to %g dBFS", k->from, k->to);
        return;
    case KIND_HOP:
        snprintf(ret, size, "%g to %g frames, as in \"43 frames\" or \"0.5 s\"", k->from, k->to);
        return;
    case KIND_DELAY:
        snprintf(ret, size, "\"hop\", or a time from %g s to %g s", k->from, k->to);
        return;
    case KIND_REJECT:
        snprintf(ret, size, "\"auto\", \"off\", or a number from %g to %g", k->from, k->to);
        return;
    }
}

static bool set_number(const struct key *k, void *field, double value)
{
    if (!(value >= k->from && value <= k->to))
        return false;
    if (k->kind == KIND_INTEGER || k->kind == KIND_HOP)
        *(int *)field = (int)value;
    else
        *(double *)field = value;
    return true;
}

/* Yes and no have their other words here too. */
static bool set_choice(const struct key *k, char *field, const char *text)
{
    bool yes;
    if (!is_choice(k->choices, text) && parse_yes_no(text, &yes))
        text = yes ? "yes" : "no";
    if (!is_choice(k->choices, text))
        return false;
    snprintf(field, k->size, "%s", text);
    return true;
}

bool key_set(const struct key *k, void *base, const char *text)
{
    void *field = (char *)base + k->offset;
    double value = 0;
    switch (k->kind) {
    case KIND_CHOICE:
        return set_choice(k, field, text);
    case KIND_TEXT:
        return (size_t)snprintf(field, k->size, "%s", text) < k->size;
    case KIND_YES_NO:
        return parse_yes_no(text, field);
    case KIND_INTEGER:
        return parse_plain(text, "", &value) && value == floor(value) &&
               set_number(k, field, value);
    case KIND_NUMBER:
        return parse_plain(text, "", &value) && set_number(k, field, value);
    case KIND_DBFS:
        return parse_plain(text, "dBFS", &value) && set_number(k, field, value);
    case KIND_SECONDS:
        return parse_seconds(text, &value) && set_number(k, field, value);
    case KIND_SPAN:
        return parse_unit(text, spans, ARRAY_LEN(spans), &value) && set_number(k, field, value);
    case KIND_BYTES:
        return parse_unit(text, sizes, ARRAY_LEN(sizes), &value) && set_number(k, field, value);
    case KIND_HOP:
        return parse_hop(text, &value) && set_number(k, field, value);
    case KIND_DELAY:
        if (strcmp(text, "hop") == 0) {
            *(double *)field = -1;
            return true;
        }
        return parse_seconds(text, &value) && set_number(k, field, value);
    case KIND_REJECT:
        if (strcmp(text, "auto") == 0 || strcmp(text, "off") == 0) {
            *(double *)field = text[0] == 'a' ? (double)NAN : (double)-INFINITY;
            return true;
        }
        return parse_plain(text, "", &value) && set_number(k, field, value);
    }
    return false;
}

/* So that it gives the same number again, in nine digits where these do. */
static void number_text(double value, char *ret, size_t size)
{
    snprintf(ret, size, "%.9g", value);
    if (strtod(ret, NULL) != value)
        snprintf(ret, size, "%.17g", value);
}

void key_text(const struct key *k, const void *base, char *ret, size_t size)
{
    const void *field = (const char *)base + k->offset;
    switch (k->kind) {
    case KIND_TEXT:
    case KIND_CHOICE:
        snprintf(ret, size, "%s", (const char *)field);
        return;
    case KIND_YES_NO:
        snprintf(ret, size, "%s", *(const bool *)field ? "yes" : "no");
        return;
    case KIND_INTEGER:
        snprintf(ret, size, "%d", *(const int *)field);
        return;
    case KIND_HOP:
        snprintf(ret, size, "%d frames", *(const int *)field);
        return;
    case KIND_NUMBER:
        number_text(*(const double *)field, ret, size);
        return;
    case KIND_SECONDS:
        snprintf(ret, size, "%.9g s", *(const double *)field);
        return;
    case KIND_SPAN:
        unit_text(*(const double *)field, spans, ARRAY_LEN(spans), ret, size);
        return;
    case KIND_BYTES:
        unit_text(*(const double *)field, sizes, ARRAY_LEN(sizes), ret, size);
        return;
    case KIND_DBFS:
        snprintf(ret, size, "%.9g dBFS", *(const double *)field);
        return;
    case KIND_DELAY:
        if (*(const double *)field < 0)
            snprintf(ret, size, "hop");
        else
            snprintf(ret, size, "%.9g s", *(const double *)field);
        return;
    case KIND_REJECT:
        if (isfinite(*(const double *)field))
            snprintf(ret, size, "%.9g", *(const double *)field);
        else
            snprintf(ret, size, "%s", isnan(*(const double *)field) ? "auto" : "off");
        return;
    }
}

/* Levenshtein's distance, for "did you mean". */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    int row[LONGEST + 1], n = (int)strlen(b);
    if (n > LONGEST)
        return LONGEST;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 0; a[i] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i] != b[j - 1]);
            diagonal = row[j];
            int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

const struct key *key_find(const struct key *keys, size_t n, const char *section, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, name) == 0)
            return &keys[i];
    return NULL;
}

int key_unknown(const struct key *keys, size_t n, const char *manual, const char *where,
                const char *section, const char *name, struct error *error)
{
    const struct key *nearest = NULL;
    int least = 4;
    bool known_section = false;
    for (size_t i = 0; i < n; i++) {
        known_section = known_section || strcmp(keys[i].section, section) == 0;
        int d = distance(name, keys[i].key) + (strcmp(section, keys[i].section) != 0);
        if (d < least) {
            least = d;
            nearest = &keys[i];
        }
    }
    if (nearest != NULL)
        return error_set(error, EINVAL,
                         "%s: unknown key \"%s\" in [%s]; did you mean \"%s\" in [%s]?", where,
                         name, section, nearest->key, nearest->section);
    return error_set(error, EINVAL, "%s: unknown %s; %s lists all", where,
                     known_section ? "key" : "section", manual);
}
