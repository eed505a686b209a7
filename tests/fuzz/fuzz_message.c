/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes what libfocal makes of a message: the first byte splits topic and header. A message is
 * either refused with a line, or has names and positions that can be relied on. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/libfocal/parse.h"
#include "ipc/libfocal/sequence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t topic_bytes = data[0] < size ? data[0] : size - 1;
    const uint8_t *topic = data + 1, *header = topic + topic_bytes;
    size_t header_bytes = size - 1 - topic_bytes;
    char why[128] = "";
    struct parsed p = {.header = NULL};
    int code = parse_message(&p, topic, topic_bytes, header, header_bytes, why, sizeof why);
    if (code != 0) {
        if (code != -EPROTO || why[0] == '\0' || p.header != NULL)
            abort();
        return 0;
    }
    if (p.topic[0] == '\0' || p.stream[0] == '\0' || strlen(p.topic) >= sizeof p.topic ||
        strlen(p.stream) >= sizeof p.stream || !json_is_object(p.header))
        abort();
    struct sequences sequences = {0};
    if (sequences_follow(&sequences, &p) != 0 || sequences_follow(&sequences, &p) != 0)
        abort();
    sequences_finish(&sequences);
    char path[256]; /* the topic's bytes again, as a path into the header */
    memcpy(path, topic, topic_bytes);
    path[topic_bytes] = '\0';
    (void)parse_find(p.header, path);
    (void)parse_find(p.header, "top.0.label");
    json_decref(p.header);
    return 0;
}
