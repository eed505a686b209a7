/* SPDX-License-Identifier: Apache-2.0
 * Names of topics and streams, as they travel. */
#include "ipc/message.h"

#include <string.h>

static const char *const topic_names[TOPIC_COUNT] = {
#define MESSAGE_TOPIC_NAME(id, name) [TOPIC_##id] = (name),
    MESSAGE_TOPICS(MESSAGE_TOPIC_NAME)
#undef MESSAGE_TOPIC_NAME
};

const char *topic_name(enum topic topic)
{
    return (unsigned)topic < TOPIC_COUNT ? topic_names[topic] : "?";
}

bool stream_name_valid(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n >= 1 && n <= STREAM_NAME_MAX && name[n] == '\0';
}

size_t message_payload_bytes(const struct message *m)
{
    size_t values = 0;
    switch (m->topic) {
    case TOPIC_LABEL:
        return 3 * sizeof(float) * (size_t)m->label.n_classes;
    case TOPIC_MAP:
        for (int i = 0; i < m->map.n_maps && i < MESSAGE_MAX_MAPS; i++)
            values += (size_t)m->map.maps[i].rows * (size_t)m->map.maps[i].cols;
        return values * sizeof(float);
    case TOPIC_MASK:
        return ((size_t)m->mask.rows * (size_t)m->mask.cols + 7) / 8;
    case TOPIC_SPEC:
        return sizeof(float) * (size_t)m->spec.rows * (size_t)m->spec.cols;
    case TOPIC_AUDIO:
    case TOPIC_INPUT:
        return sizeof(float) * (size_t)m->count;
    case TOPIC_INFO:
    case TOPIC_EVENT:
    case TOPIC_HEALTH:
    case TOPIC_COUNT:
        break;
    }
    return 0;
}
