/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/inifile.h"
#include "base/keys.h"
#include "base/memory.h"
#include "viewers/record/build.h"

#define FIELD(field) offsetof(struct settings, field), sizeof(((struct settings *)0)->field)
#define RULE(field) offsetof(struct rule, field), sizeof(((struct rule *)0)->field)

static const char manual[] = "focal-record(1)";

static const struct key keys[] = {
    {"record", "dir", KIND_TEXT, FIELD(dir), 0, 0, NULL, "", NULL, 0},
    {"record", "streams", KIND_TEXT, FIELD(streams), 0, 0, NULL, "", NULL, 0},
    {"record", "continuous", KIND_TEXT, FIELD(continuous), 0, 0, NULL, "", NULL, 0},
    {"record", "chunk", KIND_SPAN, FIELD(chunk_s), 5, 600, NULL, "60 s", NULL, 0},
    {"record", "lead", KIND_SPAN, FIELD(lead_s), 0, 60, NULL, "3 s", NULL, 0},
    {"record", "tail", KIND_SPAN, FIELD(tail_s), 0, 60, NULL, "1 s", NULL, 0},
    {"record", "max_length", KIND_SPAN, FIELD(max_length_s), 1, 600, NULL, "60 s", NULL, 0},
    {"record", "bits", KIND_CHOICE, 0, 0, 0, 0, "16 24", "16", NULL, 0}, /* see take_key */
    {"record", "input", KIND_YES_NO, FIELD(input), 0, 0, NULL, "yes", NULL, 0},
    {"record", "audio", KIND_YES_NO, FIELD(audio), 0, 0, NULL, "yes", NULL, 0},
    {"record", "picture", KIND_YES_NO, FIELD(picture), 0, 0, NULL, "yes", NULL, 0},
    {"record", "player", KIND_TEXT, FIELD(player), 0, 0, NULL, "", NULL, 0},
    {"privacy", "probability", KIND_NUMBER, FIELD(private_probability), 0.001, 1, NULL, "0.2", NULL,
     0},
    {"retention", "max_age", KIND_SPAN, FIELD(max_age_s), 0, 3155760000, /* 100 years */ NULL, "0",
     NULL, 0},
    {"retention", "max_size", KIND_BYTES, FIELD(max_size_bytes), 0, 1e15, NULL, "10 GB", NULL, 0},
    {"retention", "min_free", KIND_BYTES, FIELD(min_free_bytes), 0, 1e15, NULL, "1 GB", NULL, 0},
    {"focald", "data", KIND_TEXT, FIELD(data), 0, 0, NULL, "", NULL, 0},
    {"focald", "control", KIND_TEXT, FIELD(control), 0, 0, NULL, "", NULL, 0},
    {"focald", "server_key", KIND_TEXT, FIELD(server_key), 0, 0, NULL, "", NULL, 0},
    {"focald", "key", KIND_TEXT, FIELD(key), 0, 0, NULL, "", NULL, 0},
    {"label", "record", KIND_YES_NO, RULE(record), 0, 0, NULL, "yes", NULL, 0},
    {"label", "private", KIND_YES_NO, RULE(private), 0, 0, NULL, "no", NULL, 0},
    {"label", "min_probability", KIND_NUMBER, RULE(min_probability), 0, 1, NULL, "0", NULL, 0},
    {"label", "min_length", KIND_SPAN, RULE(min_length_s), 0, 3600, NULL, "0", NULL, 0},
    {"label", "cool_down", KIND_SPAN, RULE(cool_down_s), 0, 864000, NULL, "0", NULL, 0},
};

const struct key *settings_key(size_t i)
{
    return i < ARRAY_LEN(keys) ? &keys[i] : NULL;
}

static bool is_label_key(const struct key *k)
{
    return strcmp(k->section, "label") == 0;
}

static bool same_label(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        char x = *a == '_' ? ' ' : *a, y = *b == '_' ? ' ' : *b;
        if (strncasecmp(&x, &y, 1) != 0)
            return false;
    }
    return *a == *b;
}

static struct rule *find_rule(struct settings *s, const char *label)
{
    for (size_t i = 0; i < s->n_rules; i++)
        if (same_label(s->rules[i].label, label))
            return &s->rules[i];
    return NULL;
}

const struct rule *settings_rule(const struct settings *s, const char *label)
{
    const struct rule *rule = find_rule((struct settings *)s, label);
    return rule != NULL ? rule : &s->every;
}

bool settings_has_private(const struct settings *s)
{
    bool any = s->every.private;
    for (size_t i = 0; i < s->n_rules; i++)
        any = any || s->rules[i].private;
    return any;
}

bool settings_listed(const char *list, const char *name)
{
    static const char parting[] = " \t,";
    size_t n = strlen(name);
    for (const char *at = list + strspn(list, parting); *at != '\0'; at += strspn(at, parting)) {
        size_t length = strcspn(at, parting);
        if ((length == n && memcmp(at, name, n) == 0) || (length == 1 && *at == '*'))
            return true;
        at += length;
    }
    return false;
}

/* Reading. A label's section begins with what [label *] says where all files are read, so that
 * goes first: files are read twice. */

struct reading {
    struct settings *settings;
    bool every; /* the round for [label *] and all other sections */
};

static int get_rule(struct settings *s, const char *where, const char *label, struct rule **ret,
                    struct error *error)
{
    *ret = find_rule(s, label);
    if (*ret != NULL)
        return 0;
    if (label[0] == '\0' || strlen(label) >= SETTINGS_LABEL_BYTES)
        return error_set(error, EINVAL, "%s: a label has 1 to %d bytes: [label NAME]", where,
                         SETTINGS_LABEL_BYTES - 1);
    if (s->n_rules == SETTINGS_MAX_RULES)
        return error_set(error, EINVAL, "%s: more than %d labels", where, SETTINGS_MAX_RULES);
    struct rule *grown = realloc(s->rules, (s->n_rules + 1) * sizeof *grown);
    if (grown == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", where);
    s->rules = grown;
    *ret = &s->rules[s->n_rules++];
    **ret = s->every;
    snprintf((*ret)->label, sizeof(*ret)->label, "%s", label);
    return 0;
}

static bool set(const struct key *k, struct settings *s, void *base, const char *value)
{
    if (strcmp(k->key, "bits") != 0)
        return key_set(k, base, value);
    s->bits = strcmp(value, "24") == 0 ? 24 : 16;
    return strcmp(value, "24") == 0 || strcmp(value, "16") == 0;
}

static int take_key(void *user, const char *where, const char *section, const char *key,
                    const char *value, struct error *error)
{
    const struct reading *r = user;
    const char *plain = section, *label = NULL;
    char allowed[200];
    if (strncmp(section, "label", 5) == 0 && (section[5] == ' ' || section[5] == '\0')) {
        plain = "label";
        label = section + 5 + strspn(section + 5, " \t");
    }
    if ((label == NULL || strcmp(label, "*") == 0) != r->every)
        return 0;
    const struct key *k = key_find(keys, ARRAY_LEN(keys), plain, key);
    if (k == NULL)
        return key_unknown(keys, ARRAY_LEN(keys), manual, where, plain, key, error);
    void *base = r->settings;
    if (label != NULL && r->every) {
        base = &r->settings->every;
    } else if (label != NULL) {
        struct rule *rule;
        int code = get_rule(r->settings, where, label, &rule, error);
        if (code < 0)
            return code;
        base = rule;
    }
    if (set(k, r->settings, base, value))
        return 0;
    if (k->kind == KIND_CHOICE)
        snprintf(allowed, sizeof allowed, "one of %s", k->choices);
    else
        key_allowed(k, allowed, sizeof allowed);
    return error_set(error, EINVAL, "%s: %s = \"%s\" in [%s]; allowed: %s", where, key, value,
                     section, allowed);
}

int settings_load(struct settings *ret, const char *path, struct error *error)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->every.label, sizeof ret->every.label, "*");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        set(&keys[i], ret, is_label_key(&keys[i]) ? (void *)&ret->every : ret, keys[i].fallback);
    struct reading every = {ret, true}, labels = {ret, false};
    int code = inifile_read_usual("focal-record.conf", path, take_key, &every, error);
    return code < 0 ? code
                    : inifile_read_usual("focal-record.conf", path, take_key, &labels, error);
}

void settings_finish(struct settings *s)
{
    free(s->rules);
    s->rules = NULL;
    s->n_rules = 0;
}
