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
#include "base/keys.h"
#include "ipc/message.h"

enum when { AT_RELOAD, AT_RESTART, LIVE };

#define FIELD(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define STREAM(field)                                                                              \
    offsetof(struct config_stream, field), sizeof(((struct config_stream *)0)->field)

static const struct key keys[] = {
    {"model", "dir", KIND_TEXT, FIELD(model_dir), 0, 0, NULL, "", NULL, AT_RELOAD},
    {"model", "interpreter", KIND_CHOICE, FIELD(interpreter), 0, 0, "auto modulation attention piq",
     "auto", NULL, AT_RELOAD},
    {"model", "backend", KIND_CHOICE, FIELD(backend), 0, 0, "auto cpu cuda", "auto", NULL,
     AT_RESTART},
    {"model", "precision", KIND_CHOICE, FIELD(precision), 0, 0,
     "auto float32 tf32 bfloat16 float16", "auto", NULL, AT_RESTART},
    {"model", "depthwise", KIND_CHOICE, FIELD(depthwise), 0, 0, "auto cudnn kernels", "auto", NULL,
     AT_RESTART},
    {"model", "fallback", KIND_YES_NO, FIELD(fallback), 0, 0, NULL, "yes", NULL, AT_RESTART},
    {"model", "batch_wait", KIND_SECONDS, FIELD(live.batch_wait_s), 0, 1, NULL, "10 ms",
     "batch_wait", LIVE},
    {"model", "threads", KIND_INTEGER, FIELD(threads), 0, 1024, NULL, "0", NULL, AT_RESTART},
    {"model", "reject", KIND_REJECT, FIELD(live.reject), -1, 20, NULL, "auto", "reject", LIVE},
    {"analysis", "quantile", KIND_NUMBER, FIELD(live.quantile), 0, 1, NULL, "0.9", "quantile",
     LIVE},
    {"analysis", "hop", KIND_HOP, FIELD(live.hop_frames), 1, 430, NULL, "43 frames", "hop", LIVE},
    {"analysis", "silence_gate", KIND_DBFS, FIELD(live.silence_gate_db), -200, 0, NULL, "-60 dBFS",
     "silence_gate", LIVE},
    {"analysis", "top_k", KIND_INTEGER, FIELD(live.top_k), 1, MESSAGE_MAX_TOP, NULL, "5", "top_k",
     LIVE},
    {"events", "on", KIND_NUMBER, FIELD(live.event_on), 0, 1, NULL, "0.6", "event_on", LIVE},
    {"events", "off", KIND_NUMBER, FIELD(live.event_off), 0, 1, NULL, "0.4", "event_off", LIVE},
    {"events", "min_length", KIND_SECONDS, FIELD(live.event_min_s), 0, 3600, NULL, "0.5 s",
     "event_min_length", LIVE},
    {"audio", "delay", KIND_DELAY, FIELD(audio_delay_s), 0, 4.9, NULL, "hop", NULL, AT_RESTART},
    {"audio", "resampler", KIND_CHOICE, FIELD(resampler), 0, 0, "fast medium best", "best", NULL,
     AT_RESTART},
    {"audio", "ring", KIND_SECONDS, FIELD(ring_s), 0.1, 60, NULL, "2 s", NULL, AT_RESTART},
    {"ipc", "name", KIND_TEXT, FIELD(ipc_name), 0, 0, NULL, "focald", NULL, AT_RESTART},
    {"ipc", "dir", KIND_TEXT, FIELD(ipc_dir), 0, 0, NULL, "", NULL, AT_RESTART},
    {"ipc", "tcp_data", KIND_TEXT, FIELD(tcp_data), 0, 0, NULL, "", NULL, AT_RESTART},
    {"ipc", "tcp_control", KIND_TEXT, FIELD(tcp_control), 0, 0, NULL, "", NULL, AT_RESTART},
    {"ipc", "curve_secret_key", KIND_TEXT, FIELD(curve_secret_key), 0, 0, NULL, "", NULL,
     AT_RESTART},
    {"ipc", "curve_clients", KIND_TEXT, FIELD(curve_clients), 0, 0, NULL, "", NULL, AT_RESTART},
    {"ipc", "send_hwm", KIND_INTEGER, FIELD(send_hwm), 1, 100000, NULL, "256", NULL, AT_RESTART},
    {"paths", "cache", KIND_TEXT, FIELD(cache_dir), 0, 0, NULL, "", NULL, AT_RESTART},
    {"log", "level", KIND_CHOICE, FIELD(log_level), 0, 0, "error warning info debug", "info", NULL,
     AT_RELOAD},
    {"stream", "source", KIND_TEXT, STREAM(source), 0, 0, NULL, "auto", NULL, AT_RESTART},
    {"stream", "fallback", KIND_TEXT, STREAM(fallback), 0, 0, NULL, "", NULL, AT_RESTART},
    {"stream", "loop", KIND_YES_NO, STREAM(loop), 0, 0, NULL, "no", NULL, AT_RESTART},
    {"stream", "fast", KIND_YES_NO, STREAM(fast), 0, 0, NULL, "no", NULL, AT_RESTART},
    {"stream", "jack_autoconnect", KIND_TEXT, STREAM(jack_autoconnect), 0, 0, NULL, "", NULL,
     AT_RESTART},
};

/* Keys */

static bool is_stream_key(const struct key *k)
{
    return strcmp(k->section, "stream") == 0;
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
            key_set(&keys[i], *ret, keys[i].fallback);
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
    const struct key *k = key_find(keys, ARRAY_LEN(keys), plain, key);
    if (k == NULL)
        return key_unknown(keys, ARRAY_LEN(keys), "focald.conf(5)", where, plain, key, error);
    if (key_set(k, base, value))
        return 0;
    key_allowed(k, allowed, sizeof allowed);
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
            key_set(&keys[i], c, keys[i].fallback);
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

enum precision config_precision(const struct config *config)
{
    enum precision precision = PRECISION_AUTO; /* the key's choices are its names */
    (void)precision_parse(config->precision, &precision, NULL);
    return precision;
}

enum depthwise config_depthwise(const struct config *config)
{
    enum depthwise depthwise = DEPTHWISE_AUTO; /* likewise */
    (void)depthwise_parse(config->depthwise, &depthwise, NULL);
    return depthwise;
}

/* Differences and live values */

const char *config_difference(const struct config *a, const struct config *b, int i)
{
    static _Thread_local char text[160];
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        char x[512], y[512];
        if (is_stream_key(&keys[k]))
            continue;
        key_text(&keys[k], a, x, sizeof x);
        key_text(&keys[k], b, y, sizeof y);
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
    if (!key_set(k, &whole, value)) {
        key_allowed(k, text, sizeof text);
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
    key_text(k, &whole, ret, size);
    return 0;
}
