/* SPDX-License-Identifier: Apache-2.0
 * One table makes every key: where it stands, what it may be, what it is by default. */
#include "daemon/config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/config_files.h"
#include "ipc/message.h"

enum kind {
    KIND_TEXT,   /* any, up to the field's size */
    KIND_CHOICE, /* one of `choices` */
    KIND_YES_NO,
    KIND_INTEGER,
    KIND_NUMBER,
    KIND_SECONDS, /* "0.5 s", "500 ms", "0.5" */
    KIND_DBFS,    /* "-60 dBFS", "-60" */
    KIND_HOP,     /* "43 frames", "0.5 s" */
    KIND_DELAY,   /* "hop", or seconds */
};

enum when { AT_RELOAD, AT_RESTART, LIVE };

struct key {
    const char *section, *key;
    const char *live_name; /* for control, when != NULL */
    enum kind kind;
    enum when when;
    size_t offset, size; /* in struct config, or in struct config_stream for [stream] */
    double from, to;
    const char *choices;  /* "auto cpu" */
    const char *fallback; /* the default, as it would stand in a file */
};

#define FIELD(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define STREAM(field)                                                                              \
    offsetof(struct config_stream, field), sizeof(((struct config_stream *)0)->field)

static const struct key keys[] = {
    {"model", "dir", NULL, KIND_TEXT, AT_RELOAD, FIELD(model_dir), 0, 0, NULL, ""},
    {"model", "interpreter", NULL, KIND_CHOICE, AT_RELOAD, FIELD(interpreter), 0, 0,
     "auto modulation attention piq", "auto"},
    {"model", "backend", NULL, KIND_CHOICE, AT_RESTART, FIELD(backend), 0, 0, "auto cpu", "auto"},
    {"model", "threads", NULL, KIND_INTEGER, AT_RESTART, FIELD(threads), 0, 1024, NULL, "0"},
    {"analysis", "quantile", "quantile", KIND_NUMBER, LIVE, FIELD(live.quantile), 0, 1, NULL,
     "0.9"},
    {"analysis", "hop", "hop", KIND_HOP, LIVE, FIELD(live.hop_frames), 1, 430, NULL, "43 frames"},
    {"analysis", "silence_gate", "silence_gate", KIND_DBFS, LIVE, FIELD(live.silence_gate_db), -200,
     0, NULL, "-60 dBFS"},
    {"analysis", "top_k", "top_k", KIND_INTEGER, LIVE, FIELD(live.top_k), 1, MESSAGE_MAX_TOP, NULL,
     "5"},
    {"events", "on", "event_on", KIND_NUMBER, LIVE, FIELD(live.event_on), 0, 1, NULL, "0.6"},
    {"events", "off", "event_off", KIND_NUMBER, LIVE, FIELD(live.event_off), 0, 1, NULL, "0.4"},
    {"events", "min_length", "event_min_length", KIND_SECONDS, LIVE, FIELD(live.event_min_s), 0,
     3600, NULL, "0.5 s"},
    {"audio", "delay", NULL, KIND_DELAY, AT_RESTART, FIELD(audio_delay_s), 0, 4.9, NULL, "hop"},
    {"audio", "resampler", NULL, KIND_CHOICE, AT_RESTART, FIELD(resampler), 0, 0,
     "fast medium best", "best"},
    {"audio", "ring", NULL, KIND_SECONDS, AT_RESTART, FIELD(ring_s), 0.1, 60, NULL, "2 s"},
    {"ipc", "name", NULL, KIND_TEXT, AT_RESTART, FIELD(ipc_name), 0, 0, NULL, "focald"},
    {"ipc", "dir", NULL, KIND_TEXT, AT_RESTART, FIELD(ipc_dir), 0, 0, NULL, ""},
    {"ipc", "tcp_data", NULL, KIND_TEXT, AT_RESTART, FIELD(tcp_data), 0, 0, NULL, ""},
    {"ipc", "tcp_control", NULL, KIND_TEXT, AT_RESTART, FIELD(tcp_control), 0, 0, NULL, ""},
    {"ipc", "curve_secret_key", NULL, KIND_TEXT, AT_RESTART, FIELD(curve_secret_key), 0, 0, NULL,
     ""},
    {"ipc", "curve_clients", NULL, KIND_TEXT, AT_RESTART, FIELD(curve_clients), 0, 0, NULL, ""},
    {"ipc", "send_hwm", NULL, KIND_INTEGER, AT_RESTART, FIELD(send_hwm), 1, 100000, NULL, "256"},
    {"paths", "cache", NULL, KIND_TEXT, AT_RESTART, FIELD(cache_dir), 0, 0, NULL, ""},
    {"log", "level", NULL, KIND_CHOICE, AT_RELOAD, FIELD(log_level), 0, 0,
     "error warning info debug", "info"},
    {"stream", "source", NULL, KIND_TEXT, AT_RESTART, STREAM(source), 0, 0, NULL, "auto"},
    {"stream", "fallback", NULL, KIND_TEXT, AT_RESTART, STREAM(fallback), 0, 0, NULL, ""},
    {"stream", "loop", NULL, KIND_YES_NO, AT_RESTART, STREAM(loop), 0, 0, NULL, "no"},
    {"stream", "fast", NULL, KIND_YES_NO, AT_RESTART, STREAM(fast), 0, 0, NULL, "no"},
    {"stream", "jack_autoconnect", NULL, KIND_TEXT, AT_RESTART, STREAM(jack_autoconnect), 0, 0,
     NULL, ""},
};

/* The recipe's frames, for hops given as time. */
static const double frames_per_second = 16000.0 / 186;

/* Values */

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

/* What is allowed, for error lines. */
static void allowed_text(const struct key *k, char *ret, size_t size)
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
    case KIND_DBFS:
        snprintf(ret, size, "a level from %g dBFS to %g dBFS", k->from, k->to);
        return;
    case KIND_HOP:
        snprintf(ret, size, "%g to %g frames, as in \"43 frames\" or \"0.5 s\"", k->from, k->to);
        return;
    case KIND_DELAY:
        snprintf(ret, size, "\"hop\", or a time from %g s to %g s", k->from, k->to);
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

/* Sets the field in `base` (struct config, or struct config_stream). False: not allowed. */
static bool set_value(const struct key *k, void *base, const char *text)
{
    void *field = (char *)base + k->offset;
    double value = 0;
    switch (k->kind) {
    case KIND_CHOICE:
        if (!is_choice(k->choices, text))
            return false;
        snprintf(field, k->size, "%s", text);
        return true;
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
    case KIND_HOP:
        return parse_hop(text, &value) && set_number(k, field, value);
    case KIND_DELAY:
        if (strcmp(text, "hop") == 0) {
            *(double *)field = -1;
            return true;
        }
        return parse_seconds(text, &value) && set_number(k, field, value);
    }
    return false;
}

static void value_text(const struct key *k, const void *base, char *ret, size_t size)
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
        snprintf(ret, size, "%.9g", *(const double *)field);
        return;
    case KIND_SECONDS:
        snprintf(ret, size, "%.9g s", *(const double *)field);
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
    }
}

/* Keys */

static bool is_stream_key(const struct key *k)
{
    return strcmp(k->section, "stream") == 0;
}

static const struct key *find_key(const char *section, const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, key) == 0)
            return &keys[i];
    return NULL;
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

static int unknown_key(const char *where, const char *section, const char *key, struct error *error)
{
    const struct key *nearest = NULL;
    int least = 4;
    bool known_section = false;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        known_section = known_section || strcmp(keys[i].section, section) == 0;
        int d = distance(key, keys[i].key) + (strcmp(section, keys[i].section) != 0);
        if (d < least) {
            least = d;
            nearest = &keys[i];
        }
    }
    if (nearest != NULL)
        return error_set(error, EINVAL,
                         "%s: unknown key \"%s\" in [%s]; did you mean \"%s\" in [%s]?", where, key,
                         section, nearest->key, nearest->section);
    return error_set(error, EINVAL, "%s: unknown %s; focald.conf(5) lists all", where,
                     known_section ? "key" : "section");
}

static struct config_stream *find_stream(struct config *c, const char *name)
{
    for (int i = 0; i < c->n_streams; i++)
        if (strcmp(c->streams[i].name, name) == 0)
            return &c->streams[i];
    return NULL;
}

static int get_stream(struct config *c, const char *name, const char *where,
                      struct config_stream **ret, struct error *error)
{
    if (!stream_name_valid(name))
        return error_set(
            error, EINVAL,
            "%s: \"%s\" is no name for a stream; allowed: 1 to 63 of A-Z a-z 0-9 _ . -", where,
            name);
    *ret = find_stream(c, name);
    if (*ret != NULL)
        return 0;
    if (c->n_streams == CONFIG_MAX_STREAMS)
        return error_set(error, EINVAL, "%s: more than %d streams", where, CONFIG_MAX_STREAMS);
    *ret = &c->streams[c->n_streams++];
    memset(*ret, 0, sizeof **ret);
    snprintf((*ret)->name, sizeof(*ret)->name, "%s", name);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (is_stream_key(&keys[i]))
            set_value(&keys[i], *ret, keys[i].fallback);
    return 0;
}

/* section is as in the file: "analysis", "stream NAME". */
int config_set(struct config *c, const char *where, const char *section, const char *key,
               const char *value, struct error *error)
{
    void *base = c;
    const char *plain = section;
    char allowed[160];
    struct config_stream *stream = NULL;
    if (strncmp(section, "stream ", 7) == 0) {
        int r = get_stream(c, section + 7 + strspn(section + 7, " \t"), where, &stream, error);
        if (r < 0)
            return r;
        base = stream;
        plain = "stream";
    } else if (strcmp(section, "stream") == 0) {
        return error_set(error, EINVAL, "%s: a stream needs a name: [stream NAME]", where);
    }
    const struct key *k = find_key(plain, key);
    if (k == NULL)
        return unknown_key(where, plain, key, error);
    if (set_value(k, base, value))
        return 0;
    allowed_text(k, allowed, sizeof allowed);
    return error_set(error, EINVAL, "%s: %s = \"%s\" in [%s]; allowed: %s", where, key, value,
                     section, allowed);
}

static int check_whole(const struct config_live *live, const char *where, struct error *error)
{
    if (live->event_off <= live->event_on)
        return 0;
    return error_set(error, EINVAL, "%s: off = %g in [events] is above on = %g", where,
                     live->event_off, live->event_on);
}

/* Loading */

/* --source [NAME=]SPEC; the first one replaces the streams of the files. */
static int source_option(struct config *c, const char *value, bool first, const char *where,
                         struct error *error)
{
    char name[64] = "main";
    size_t n = strcspn(value, "=:/");
    if (value[n] == '=' && n < sizeof name) {
        snprintf(name, sizeof name, "%.*s", (int)n, value);
        value += n + 1;
    }
    if (first)
        c->n_streams = 0;
    char section[80];
    snprintf(section, sizeof section, "stream %s", name);
    return config_set(c, where, section, "source", value, error);
}

/* Options of streams (--loop) are meant for all that there are once sources are known. */
static int apply_options(struct config *c, const struct config_option *options, int n,
                         struct error *error)
{
    char where[80];
    int r = 0;
    bool first = true;
    for (int i = 0; i < n && r == 0; i++) {
        snprintf(where, sizeof where, "--%s", options[i].option);
        if (strcmp(options[i].section, "stream") != 0) {
            r = config_set(c, where, options[i].section, options[i].key, options[i].value, error);
        } else if (strcmp(options[i].key, "source") == 0) {
            r = source_option(c, options[i].value, first, where, error);
            first = false;
        }
    }
    struct config_stream *main_stream;
    if (r == 0 && c->n_streams == 0)
        r = get_stream(c, "main", "focald", &main_stream, error);
    for (int i = 0; i < n && r == 0; i++) {
        if (strcmp(options[i].section, "stream") != 0 || strcmp(options[i].key, "source") == 0)
            continue;
        snprintf(where, sizeof where, "--%s", options[i].option);
        for (int s = 0; s < c->n_streams && r == 0; s++) {
            char section[80];
            snprintf(section, sizeof section, "stream %s", c->streams[s].name);
            r = config_set(c, where, section, options[i].key, options[i].value, error);
        }
    }
    return r;
}

int config_load(struct config *ret, const char *path, const struct config_option *options, int n,
                struct error *error)
{
    struct config *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ENOMEM, "configuration: out of memory");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (!is_stream_key(&keys[i]))
            set_value(&keys[i], c, keys[i].fallback);
    int r = config_read_files(c, path, error);
    if (r == 0)
        r = apply_options(c, options, n, error);
    if (r == 0)
        r = check_whole(&c->live, path != NULL ? path : "configuration", error);
    if (r == 0)
        *ret = *c;
    free(c);
    return r;
}

const char *config_key(int i, const char **ret_section)
{
    if (i < 0 || (size_t)i >= ARRAY_LEN(keys))
        return NULL;
    *ret_section = keys[i].section;
    return keys[i].key;
}

/* Differences and live values */

const char *config_difference(const struct config *a, const struct config *b, int i)
{
    static _Thread_local char text[160];
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        char x[512], y[512];
        if (is_stream_key(&keys[k]))
            continue;
        value_text(&keys[k], a, x, sizeof x);
        value_text(&keys[k], b, y, sizeof y);
        snprintf(text, sizeof text, "%s.%s", keys[k].section, keys[k].key);
        if (strcmp(x, y) != 0 && i-- == 0)
            return text;
    }
    int most = a->n_streams > b->n_streams ? a->n_streams : b->n_streams;
    for (int s = 0; s < most; s++) {
        bool same = s < a->n_streams && s < b->n_streams &&
                    memcmp(&a->streams[s], &b->streams[s], sizeof a->streams[s]) == 0;
        snprintf(text, sizeof text, "stream %s",
                 s < b->n_streams ? b->streams[s].name : a->streams[s].name);
        if (!same && i-- == 0)
            return text;
    }
    return NULL;
}

bool config_key_needs_restart(const char *section_key)
{
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        size_t n = strlen(keys[k].section);
        if (strncmp(section_key, keys[k].section, n) == 0 && section_key[n] == '.' &&
            strcmp(section_key + n + 1, keys[k].key) == 0)
            return keys[k].when == AT_RESTART;
    }
    return true;
}

static const struct key *find_live(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].live_name != NULL && strcmp(keys[i].live_name, name) == 0)
            return &keys[i];
    return NULL;
}

const char *const *config_live_keys(void)
{
    static const char *names[ARRAY_LEN(keys) + 1];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].live_name != NULL)
            names[n++] = keys[i].live_name;
    return names;
}

/* The table's offsets are within struct config: a config with these live values is made for it. */
int config_live_set(struct config_live *live, const char *key, const char *value,
                    struct error *error)
{
    char text[256] = "";
    const struct key *k = find_live(key);
    if (k == NULL) {
        for (const char *const *name = config_live_keys(); *name != NULL; name++) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "", *name);
        }
        return error_set(error, ENOENT, "there is no live value \"%s\"; allowed: %s", key, text);
    }
    struct config whole = {.live = *live};
    if (!set_value(k, &whole, value)) {
        allowed_text(k, text, sizeof text);
        return error_set(error, EINVAL, "%s = \"%s\"; allowed: %s", key, value, text);
    }
    int r = check_whole(&whole.live, key, error);
    if (r == 0)
        *live = whole.live;
    return r;
}

int config_live_get(const struct config_live *live, const char *key, char *ret, size_t size)
{
    const struct key *k = find_live(key);
    if (k == NULL)
        return -ENOENT;
    const struct config whole = {.live = *live};
    value_text(k, &whole, ret, size);
    return 0;
}
