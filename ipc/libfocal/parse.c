/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/libfocal/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"

/* Names are printed as they are: nothing in them may steer a terminal. */
static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static int copy_name(char ret[PARSE_NAME_BYTES], const char *name, size_t bytes)
{
    if (bytes < 1 || bytes >= PARSE_NAME_BYTES)
        return -EPROTO;
    for (size_t i = 0; i < bytes; i++)
        if (!is_name_character(name[i]))
            return -EPROTO;
    memcpy(ret, name, bytes);
    ret[bytes] = '\0';
    return 0;
}

static int read_integer(const json_t *header, const char *key, int64_t *ret)
{
    const json_t *value = json_object_get(header, key);
    if (!json_is_integer(value))
        return -EPROTO;
    *ret = json_integer_value(value);
    return 0;
}

static int read_fields(struct parsed *p, const json_t *header, char *why, size_t why_size)
{
    static const char *const keys[] = {"v", "seq", "first", "count", "t_ns"};
    int64_t values[5];
    for (int i = 0; i < 5; i++) {
        if (read_integer(header, keys[i], &values[i]) != 0) {
            snprintf(why, why_size, "message of %s/%s: its header has no integer \"%s\"", p->topic,
                     p->stream, keys[i]);
            return -EPROTO;
        }
    }
    if (values[0] != PROTOCOL_VERSION) {
        snprintf(
            why, why_size,
            "message of %s/%s: protocol version %lld, this library speaks %d; update the older",
            p->topic, p->stream, (long long)values[0], PROTOCOL_VERSION);
        return -EPROTO;
    }
    if (values[1] < 0 || values[2] < 0 || values[3] < 0) {
        snprintf(why, why_size, "message of %s/%s: a negative position or number", p->topic,
                 p->stream);
        return -EPROTO;
    }
    p->seq = (uint64_t)values[1];
    p->first = (uint64_t)values[2];
    p->count = (uint64_t)values[3];
    p->t_ns = values[4];
    if (read_integer(header, "run", &p->run) != 0)
        p->run = 0;
    return 0;
}

int parse_message(struct parsed *ret, const void *topic, size_t topic_bytes, const void *header,
                  size_t header_bytes, char *why, size_t why_size)
{
    struct parsed p = {.header = NULL};
    const char *name = topic;
    const char *slash = topic_bytes > 0 ? memchr(name, '/', topic_bytes) : NULL;
    if (slash == NULL || copy_name(p.topic, name, (size_t)(slash - name)) != 0 ||
        copy_name(p.stream, slash + 1, topic_bytes - (size_t)(slash + 1 - name)) != 0) {
        snprintf(why, why_size, "message: its first frame is not TOPIC/STREAM; not from focald?");
        return -EPROTO;
    }
    p.header = json_loadb(header, header_bytes, 0, NULL);
    if (!json_is_object(p.header)) { /* jansson's reason would quote it */
        snprintf(why, why_size, "message of %s/%s: its header is not a JSON object", p.topic,
                 p.stream);
        json_decref(p.header);
        return -EPROTO;
    }
    if (read_fields(&p, p.header, why, why_size) != 0) {
        json_decref(p.header);
        return -EPROTO;
    }
    *ret = p;
    return 0;
}

const json_t *parse_find(const json_t *value, const char *path)
{
    while (value != NULL && *path != '\0') {
        char key[128];
        size_t n = strcspn(path, ".");
        if (n == 0 || n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        path += n;
        if (*path == '.' && *++path == '\0')
            return NULL;
        if (json_is_array(value)) {
            char *end;
            unsigned long index = strtoul(key, &end, 10);
            if (key[0] < '0' || key[0] > '9' || *end != '\0')
                return NULL;
            value = json_array_get(value, index);
        } else {
            value = json_object_get(value, key);
        }
    }
    return value;
}
