/* SPDX-License-Identifier: Apache-2.0
 * favourite, note, delete: the few things that people change. A recorder may run meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "viewers/record/commands.h"
#include "viewers/record/store.h"

struct editing {
    struct place place;
    struct store *store;
};

static int begin(struct editing *e, const struct arguments *a, struct error *error)
{
    e->store = NULL;
    int code = place_look(&e->place, a->dir, error);
    return code == 0 ? store_open(&e->store, &e->place, 0, error) : code;
}

static int finish(struct editing *e, int code, const struct error *error)
{
    store_close(e->store);
    place_release(&e->place);
    return code < 0 ? complain(error) : EXIT_SUCCESS;
}

static bool read_ids(const struct arguments *a)
{
    int64_t id;
    for (int i = 0; i < a->n_words; i++)
        if (!read_id(a->words[i], &id))
            return false;
    return true;
}

int command_favourite(const struct arguments *a)
{
    struct editing e;
    struct error error;
    int64_t id;
    if (!read_ids(a))
        return EXIT_USAGE;
    int code = begin(&e, a, &error);
    for (int i = 0; i < a->n_words && code == 0; i++)
        code = read_id(a->words[i], &id) ? store_set_favourite(e.store, id, !a->off, &error) : 0;
    return finish(&e, code, &error);
}

int command_note(const struct arguments *a)
{
    struct editing e;
    struct error error;
    char note[1024];
    int64_t id;
    if (!read_id(a->words[0], &id))
        return EXIT_USAGE;
    utf8_clean(a->words[1], note, sizeof note);
    if (strlen(a->words[1]) >= sizeof note) {
        fprintf(stderr, "focal-record: a note has at most %zu bytes\n", sizeof note - 1);
        return EXIT_USAGE;
    }
    int code = begin(&e, a, &error);
    if (code == 0)
        code = store_set_note(e.store, id, note, &error);
    return finish(&e, code, &error);
}

int command_delete(const struct arguments *a)
{
    struct editing e;
    struct error error;
    int64_t id;
    if (!read_ids(a))
        return EXIT_USAGE;
    int code = begin(&e, a, &error);
    for (int i = 0; i < a->n_words && code == 0; i++)
        code = read_id(a->words[i], &id) ? store_delete(e.store, id, &error) : 0;
    return finish(&e, code, &error);
}
