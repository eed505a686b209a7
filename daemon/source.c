/* SPDX-License-Identifier: Apache-2.0
 * The kinds of sources there are, and which of them a name means. */
#include "daemon/source.h"

#include <errno.h>
#include <string.h>

const struct source_ops *const source_kinds[] = {&source_pipewire, &source_jack, &source_file,
                                                 &source_stdin, NULL};

const char *source_state_name(enum source_state state)
{
    static const char *const names[] = {
        [SOURCE_STARTING] = "starting", [SOURCE_RUNNING] = "running", [SOURCE_WAITING] = "waiting",
        [SOURCE_ENDED] = "ended",       [SOURCE_FAILED] = "failed",
    };
    return names[state];
}

/* The kind of the lowest rank whose server answers. */
static const struct source_ops *probe_all(void)
{
    const struct source_ops *best = NULL;
    for (int i = 0; source_kinds[i] != NULL; i++) {
        const struct source_ops *ops = source_kinds[i];
        if (ops->auto_rank > 0 && (best == NULL || ops->auto_rank < best->auto_rank) &&
            ops->probe != NULL && ops->probe())
            best = ops;
    }
    return best;
}

int source_find(const char *text, const struct source_ops **ret_ops, const char **ret_spec,
                struct error *error)
{
    size_t n = strcspn(text, ":");
    const char *spec = text[n] == ':' ? text + n + 1 : text + n;
    if (n == 4 && memcmp(text, "auto", 4) == 0) {
        const struct source_ops *ops = probe_all();
        if (ops == NULL)
            return error_set(error, ENODEV,
                             "no PipeWire or JACK server answers; start one, or name another "
                             "source: file:PATH, stdin:RATE:CHANNELS");
        *ret_ops = ops;
        *ret_spec = spec;
        return 0;
    }
    for (int i = 0; source_kinds[i] != NULL; i++)
        if (strlen(source_kinds[i]->name) == n && memcmp(source_kinds[i]->name, text, n) == 0) {
            *ret_ops = source_kinds[i];
            *ret_spec = spec;
            return 0;
        }
    return error_set(error, EINVAL,
                     "source \"%s\" is unknown; allowed: auto, pipewire[:NODE], jack[:PORTS], "
                     "file:PATH, stdin:RATE:CHANNELS",
                     text);
}
