/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes control requests: whatever the bytes, the answer is one JSON object with "ok". */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/control.h"

static int answer(void *user, const json_t *request, uint64_t ticket, json_t **ret,
                  struct error *error)
{
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    if (strcmp(cmd, "echo") != 0)
        return error_set(error, EINVAL, "unknown command %s", cmd);
    *ret = json_pack("{s:O}", "request", request);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const streams[] = {"kitchen", "garden"};
    json_t *info[] = {NULL, NULL};
    struct control control = {.n_streams = 2, .streams = streams, .info = info, .request = answer};
    char *text = control_answer(&control, data, size);
    json_t *reply = text != NULL ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *ok = json_object_get(reply, "ok");
    if (!json_is_boolean(ok) ||
        (json_is_false(ok) && !json_is_string(json_object_get(reply, "error"))))
        abort();
    json_decref(reply);
    free(text);
    return 0;
}
