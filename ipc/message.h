/* SPDX-License-Identifier: Apache-2.0
 * What focald publishes, as plain structs: the daemon fills one, the ipc thread turns it into the
 * three frames of the protocol (topic, JSON header, payload). docs/protocol.md lists every field.
 *
 * Positions are samples on the stream's 16 kHz timeline. Every message carries `first` and `count`,
 * the span it speaks of, and t_wall_ns, the wall-clock time (CLOCK_REALTIME) of sample `first`; of
 * health, of the telling. */
#ifndef FOCALD_IPC_MESSAGE_H
#define FOCALD_IPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL_VERSION = 1 };

/* topic name, as in "label/STREAM" */
#define MESSAGE_TOPICS(X)                                                                          \
    X(INFO, "info")                                                                                \
    X(LABEL, "label")                                                                              \
    X(MAP, "map")                                                                                  \
    X(MASK, "mask")                                                                                \
    X(SPEC, "spec")                                                                                \
    X(AUDIO, "audio")                                                                              \
    X(INPUT, "input")                                                                              \
    X(EVENT, "event")                                                                              \
    X(HEALTH, "health")

enum topic {
#define MESSAGE_TOPIC_ENUM(id, name) TOPIC_##id,
    MESSAGE_TOPICS(MESSAGE_TOPIC_ENUM)
#undef MESSAGE_TOPIC_ENUM
        TOPIC_COUNT
};

const char *topic_name(enum topic topic);

enum { STREAM_NAME_MAX = 63 };

/* [A-Za-z0-9_.-]{1,63} */
bool stream_name_valid(const char *name);

enum { MESSAGE_MAX_TOP = 20, MESSAGE_MAX_MAPS = 9, MESSAGE_PROBLEM_BYTES = 600 };

struct label_message {
    bool silence; /* under the gate: no network was run, top is empty, payload all zeros */
    bool unknown; /* under the threshold: it has no name, top are candidates */
    float score;  /* that the threshold is of; NaN: there is none */
    int n_top;
    struct {
        int index;     /* into info's labels */
        float p;       /* softmax(scale * cosine), for people */
        float p_paper; /* softmax(cosine), as the paper's metrics use */
        float cosine;
    } top[MESSAGE_MAX_TOP];
    int n_classes;             /* payload: f32 [3][n_classes], rows p, p_paper, cosine */
    float peak_dbfs, rms_dbfs; /* of the window; -inf is sent as null */
    uint64_t lost;             /* samples of the window that never came and are zeros */
    uint64_t skipped;          /* windows skipped since the label before this one */
    /* milliseconds: from the window's last sample leaving the callback to its being handed over,
     * waiting for the network, normalising … resizing, the network, map and mask */
    float ms_ingest, ms_wait, ms_pre, ms_network, ms_post;
};

struct map_message {
    int n_maps; /* payload: f32, the stages' maps one after the other, first stage first */
    struct {
        int rows, cols;
    } maps[MESSAGE_MAX_MAPS];
};

struct mask_message {
    int rows, cols; /* payload: u1 [rows][cols], eight cells a byte, first cell in bit 0 */
    float quantile, threshold, kept; /* kept: fraction of ones */
};

struct spec_message {
    int rows, cols; /* payload: f32 [rows][cols], log1p of the normalised magnitudes */
    float peak;     /* magnitude of the window's maximum, the samples were divided by it */
};

struct pcm_message {
    int rate_hz;   /* payload: f32 [count] */
    uint64_t lost; /* samples in it that never came and are zeros */
};

struct event_message {
    uint64_t id; /* counts per stream */
    bool ended;  /* false: onset */
    int index;   /* label */
    float p, p_peak;
    uint64_t onset, end; /* samples; end is 0 until ended */
    int64_t t_onset_wall_ns;
};

struct health_message {
    const char *source_kind, *source_state; /* static strings */
    char source_text[192];
    const char *backend, *precision; /* static while the daemon lives */
    uint64_t gpu_failures;           /* since start */
    uint32_t rate_hz, channels;
    uint64_t lost_samples;   /* frames at the source's rate, since start */
    uint64_t missed_samples; /* of the timeline, that never came, since start */
    uint64_t xruns, reconnects, windows, skipped_windows, dropped_messages;
    float latency_ms_p50, latency_ms_p99; /* last sample to publishing, over the last minute */
    float network_ms_p50;
    uint64_t uptime_s, resident_bytes;
    bool ok;
    char problem[MESSAGE_PROBLEM_BYTES]; /* "" when ok */
};

struct message {
    enum topic topic;
    int stream; /* index given to publisher_create */
    uint64_t first, count;
    int64_t t_wall_ns;
    union {
        struct label_message label;
        struct map_message map;
        struct mask_message mask;
        struct spec_message spec;
        struct pcm_message pcm; /* audio and input */
        struct event_message event;
        struct health_message health;
    };
    size_t payload_bytes; /* used */
    size_t payload_capacity;
    void *payload; /* 64-byte aligned, owned by the outbox */
};

/* The payload's size that the other fields promise to a client. */
size_t message_payload_bytes(const struct message *message);

#endif
