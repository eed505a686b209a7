/* SPDX-License-Identifier: Apache-2.0
 * struct message to JSON. Objects take over the references given to them and refuse NULL, so a
 * value that could not be made shows as a missing set, and the whole header is given up. */
#include "ipc/encode.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One JSON object being filled; failed remembers any shortage of memory until the end. */
struct fields {
    json_t *object;
    bool failed;
};

static void put(struct fields *f, const char *key, json_t *value)
{
    if (json_object_set_new(f->object, key, value) != 0)
        f->failed = true;
}

static void put_uint(struct fields *f, const char *key, uint64_t value)
{
    put(f, key, json_integer((json_int_t)value));
}

static void put_int(struct fields *f, const char *key, int64_t value)
{
    put(f, key, json_integer(value));
}

static void put_bool(struct fields *f, const char *key, bool value)
{
    put(f, key, json_boolean(value));
}

/* The shortest decimal that is this float again: 0.9f is sent as 0.9, not 0.899999976. */
static json_t *float_value(float value)
{
    if (!isfinite(value))
        return json_null();
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static void put_float(struct fields *f, const char *key, float value)
{
    put(f, key, float_value(value));
}

/* Text from outside (a device's name) may be anything; what is not UTF-8 must not lose the rest. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    char *plain = strdup(text);
    if (plain == NULL)
        return NULL;
    for (char *p = plain; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(plain);
    free(plain);
    return value;
}

static void put_text(struct fields *f, const char *key, const char *value)
{
    put(f, key, value != NULL ? text_value(value) : json_null());
}

static void put_label(struct fields *f, const json_t *labels, int index)
{
    json_t *label = index >= 0 ? json_array_get(labels, (size_t)index) : NULL;
    put_int(f, "index", index);
    put(f, "label", json_is_string(label) ? json_incref(label) : json_null());
}

static void put_layout(struct fields *f, const char *dtype, json_t *shape, const char *unit)
{
    put_text(f, "dtype", dtype);
    put(f, "shape", shape);
    put_text(f, "unit", unit);
}

static void put_no_payload(struct fields *f)
{
    put_layout(f, "none", json_array(), "");
}

static void put_top(struct fields *f, const struct label_message *m, const json_t *labels)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_top && i < MESSAGE_MAX_TOP; i++) {
        struct fields entry = {.object = json_object()};
        put_label(&entry, labels, m->top[i].index);
        put_float(&entry, "p", m->top[i].p);
        put_float(&entry, "p_paper", m->top[i].p_paper);
        put_float(&entry, "cosine", m->top[i].cosine);
        if (json_array_append_new(list, entry.object) != 0 || entry.failed)
            f->failed = true;
    }
    put(f, "top", list);
}

static void put_label_message(struct fields *f, const struct label_message *m, const json_t *labels)
{
    put_layout(f, "f32", json_pack("[i,i]", 3, m->n_classes), "1");
    put(f, "rows", json_pack("[s,s,s]", "p", "p_paper", "cosine"));
    put_bool(f, "silence", m->silence);
    put_bool(f, "unknown", m->unknown);
    put_float(f, "score", m->score);
    put_top(f, m, labels);
    put_float(f, "peak_dbfs", m->peak_dbfs);
    put_float(f, "rms_dbfs", m->rms_dbfs);
    put_uint(f, "lost", m->lost);
    put_uint(f, "skipped", m->skipped);
    put_float(f, "ms_ingest", m->ms_ingest);
    put_float(f, "ms_wait", m->ms_wait);
    put_float(f, "ms_pre", m->ms_pre);
    put_float(f, "ms_network", m->ms_network);
    put_float(f, "ms_post", m->ms_post);
}

static void put_map_message(struct fields *f, const struct map_message *m)
{
    json_t *list = json_array();
    json_int_t total = 0;
    for (int i = 0; i < m->n_maps && i < MESSAGE_MAX_MAPS; i++) {
        int rows = m->maps[i].rows, cols = m->maps[i].cols;
        json_t *entry = json_pack("{s:i,s:i,s:I}", "rows", rows, "cols", cols, "offset", total);
        if (json_array_append_new(list, entry) != 0)
            f->failed = true;
        total += (json_int_t)rows * cols;
    }
    put_layout(f, "f32", json_pack("[I]", total), "1");
    put(f, "maps", list);
}

static void put_mask_message(struct fields *f, const struct mask_message *m)
{
    put_layout(f, "u1", json_pack("[i,i]", m->rows, m->cols), "1");
    put_float(f, "quantile", m->quantile);
    put_float(f, "threshold", m->threshold);
    put_float(f, "kept", m->kept);
}

static void put_spec_message(struct fields *f, const struct spec_message *m)
{
    put_layout(f, "f32", json_pack("[i,i]", m->rows, m->cols), "log1p");
    put_float(f, "peak", m->peak);
}

static void put_pcm_message(struct fields *f, const struct pcm_message *m, uint64_t count)
{
    put_layout(f, "f32", json_pack("[I]", (json_int_t)count), "full scale");
    put_int(f, "rate_hz", m->rate_hz);
    put_uint(f, "lost", m->lost);
}

static void put_event_message(struct fields *f, const struct event_message *m, const json_t *labels)
{
    put_no_payload(f);
    put_uint(f, "id", m->id);
    put_bool(f, "ended", m->ended);
    put_label(f, labels, m->index);
    put_float(f, "p", m->p);
    put_float(f, "p_peak", m->p_peak);
    put_uint(f, "onset", m->onset);
    put_uint(f, "end", m->end);
    put_int(f, "t_onset_ns", m->t_onset_wall_ns);
}

static void put_health_message(struct fields *f, const struct health_message *m)
{
    put_no_payload(f);
    put_bool(f, "ok", m->ok);
    put_text(f, "problem", m->problem);
    put_text(f, "source_kind", m->source_kind);
    put_text(f, "source_state", m->source_state);
    put_text(f, "source_text", m->source_text);
    put_text(f, "backend", m->backend);
    put_text(f, "precision", m->precision);
    put_uint(f, "gpu_failures", m->gpu_failures);
    put_uint(f, "rate_hz", m->rate_hz);
    put_uint(f, "channels", m->channels);
    put_uint(f, "lost_samples", m->lost_samples);
    put_uint(f, "missed_samples", m->missed_samples);
    put_uint(f, "xruns", m->xruns);
    put_uint(f, "reconnects", m->reconnects);
    put_uint(f, "windows", m->windows);
    put_uint(f, "skipped_windows", m->skipped_windows);
    put_uint(f, "dropped_messages", m->dropped_messages);
    put_float(f, "latency_ms_p50", m->latency_ms_p50);
    put_float(f, "latency_ms_p99", m->latency_ms_p99);
    put_float(f, "network_ms_p50", m->network_ms_p50);
    put_uint(f, "uptime_s", m->uptime_s);
    put_uint(f, "resident_bytes", m->resident_bytes);
}

static void put_common(struct fields *f, enum topic topic, uint64_t first, uint64_t count,
                       int64_t t_wall_ns, const struct encode_context *context)
{
    put_int(f, "v", PROTOCOL_VERSION);
    put_text(f, "topic", topic_name(topic));
    put_text(f, "stream", context->stream);
    put_int(f, "run", context->run_ns);
    put_uint(f, "seq", context->seq);
    put_uint(f, "first", first);
    put_uint(f, "count", count);
    put_int(f, "t_ns", t_wall_ns);
}

static char *dump(struct fields *f, int digits)
{
    char *text = NULL;
    if (!f->failed)
        text = json_dumps(f->object, JSON_COMPACT | JSON_REAL_PRECISION(digits));
    json_decref(f->object);
    return text;
}

char *encode_header(const struct message *m, const struct encode_context *context)
{
    assert(m->topic != TOPIC_INFO);
    struct fields f = {.object = json_object()};
    const json_t *labels = context->labels;
    put_common(&f, m->topic, m->first, m->count, m->t_wall_ns, context);
    switch (m->topic) {
    case TOPIC_LABEL:
        put_label_message(&f, &m->label, labels);
        break;
    case TOPIC_MAP:
        put_map_message(&f, &m->map);
        break;
    case TOPIC_MASK:
        put_mask_message(&f, &m->mask);
        break;
    case TOPIC_SPEC:
        put_spec_message(&f, &m->spec);
        break;
    case TOPIC_AUDIO:
    case TOPIC_INPUT:
        put_pcm_message(&f, &m->pcm, m->count);
        break;
    case TOPIC_EVENT:
        put_event_message(&f, &m->event, labels);
        break;
    case TOPIC_HEALTH:
        put_health_message(&f, &m->health);
        break;
    case TOPIC_INFO:
    case TOPIC_COUNT:
        break;
    }
    return dump(&f, 9);
}

char *encode_info(const json_t *fields, uint64_t first, uint64_t count, int64_t t_wall_ns,
                  const struct encode_context *context)
{
    struct fields f = {.object = json_object()};
    put_common(&f, TOPIC_INFO, first, count, t_wall_ns, context);
    put_no_payload(&f);
    if (json_object_update_missing(f.object, (json_t *)fields) != 0)
        f.failed = true;
    return dump(&f, 15);
}
