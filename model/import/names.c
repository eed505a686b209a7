/* SPDX-License-Identifier: Apache-2.0 */
#include "model/import/names.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* How a name begins once nothing is before it, and where it belongs. */
static const struct {
    const char *start;
    enum checkpoint_part part;
    bool prefixed; /* the start is a prefix of ours, left out of what follows */
} anchors[] = {
    {"classifier.", PART_HEAD, true},   {"psi.", PART_PSI, true},
    {"psi_model.", PART_PSI, true},     {"embeddings.", PART_BACKBONE, false},
    {"encoder.", PART_BACKBONE, false}, {"layernorm.", PART_BACKBONE, false},
    {"pooler.", PART_BACKBONE, false},  {"blocks.", PART_HEAD, false},
    {"weight", PART_HEAD, false},       {"codebook.", PART_PSI, false},
    {"adapter.", PART_PSI, false},      {"down.", PART_PSI, false},
    {"up.", PART_PSI, false},           {"decoder.", PART_PSI, false},
};

/* DataParallel, Sequential, Lightning and the like, and the backbones' own names. */
static const char *const wrappers[] = {
    "module",          "model",    "net", "network",    "backbone",
    "embedding_model", "focalnet", "vit", "state_dict", "model_state_dict",
};

static bool is_wrapper(const char *part, size_t n)
{
    if (n > 0 && strspn(part, "0123456789") >= n)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(wrappers); i++)
        if (strlen(wrappers[i]) == n && strncmp(part, wrappers[i], n) == 0)
            return true;
    return false;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* The anchor that the name begins with, or -1. psi: whether an interpreter's own names count, which
 * others have too: a masked image model's decoder. */
static int anchor_of(const char *name, enum checkpoint_part part, bool psi)
{
    for (size_t i = 0; i < ARRAY_LEN(anchors); i++)
        if ((part == PART_ANY || part == anchors[i].part) && starts_with(name, anchors[i].start) &&
            (psi || part == PART_PSI || anchors[i].part != PART_PSI || anchors[i].prefixed) &&
            (strcmp(anchors[i].start, "weight") != 0 || strcmp(name, "weight") == 0))
            return (int)i;
    return -1;
}

/* What is left of the name behind wrappers and prefixes, and its part; NULL when nothing is known
 * about it. */
static const char *core_of(const struct checkpoint_tensor *t, bool psi,
                           enum checkpoint_part *ret_part)
{
    for (const char *name = t->name; name != NULL;) {
        int anchor = anchor_of(name, t->part, psi);
        if (anchor >= 0) {
            *ret_part = anchors[anchor].part;
            return anchors[anchor].prefixed ? name + strlen(anchors[anchor].start) : name;
        }
        const char *dot = strchr(name, '.');
        if (dot == NULL || !is_wrapper(name, (size_t)(dot - name)))
            return NULL;
        name = dot + 1;
    }
    return NULL;
}

bool names_of_interpreter(const struct checkpoint *c)
{
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        enum checkpoint_part part;
        const char *core = core_of(checkpoint_at(c, i), true, &part);
        if (core != NULL && part == PART_PSI && starts_with(core, "codebook."))
            return true;
    }
    return false;
}

bool canonical_name(const struct checkpoint_tensor *t, enum net_kind kind, bool psi, char *ret,
                    size_t size)
{
    static const char *const prefixes[] = {[PART_HEAD] = "classifier.", [PART_PSI] = "psi."};
    enum checkpoint_part part;
    const char *core = core_of(t, psi, &part);
    if (core == NULL)
        return false;
    const char *prefix = prefixes[PART_HEAD];
    if (part == PART_BACKBONE)
        prefix = kind == NET_FOCALNET ? "focalnet." : "";
    else
        prefix = prefixes[part];
    int n = snprintf(ret, size, "%s%s", prefix, core);
    return n >= 0 && (size_t)n < size;
}

bool kind_of_names(const struct checkpoint *c, enum net_kind *ret)
{
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        enum checkpoint_part part;
        const char *core = core_of(checkpoint_at(c, i), true, &part);
        if (core == NULL || part != PART_BACKBONE)
            continue;
        if (starts_with(core, "encoder.stages.") || starts_with(core, "encoder.layer.")) {
            *ret = starts_with(core, "encoder.layer.") ? NET_VIT : NET_FOCALNET;
            return true;
        }
    }
    return false;
}
