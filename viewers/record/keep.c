/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewers/record/blob.h"
#include "viewers/record/flac.h"
#include "viewers/record/picture.h"

enum { INPUT, AUDIO, PICTURE, THUMB, FILES };

static const char *const endings[FILES] = {".input.flac", ".audio.flac", ".png", ".thumb.png"};

struct set {
    struct blob blobs[FILES]; /* size 0: not kept */
    char names[FILES][PLACE_FILE_BYTES + 16];
    int fds[FILES]; /* -1: not open */
    int64_t bytes;
};

static int encode(const struct keep *k, const struct snippet *s, struct set *set,
                  struct error *error)
{
    char title[256];
    int code = 0;
    snprintf(title, sizeof title, "%s, %s", s->stream, s->continuous ? "continuous" : s->label);
    if (s->input != NULL)
        code = flac_encode(&set->blobs[INPUT], s->input, (size_t)s->count, k->settings->bits, title,
                           error);
    if (code == 0 && s->audio != NULL)
        code = flac_encode(&set->blobs[AUDIO], s->audio, (size_t)s->count, k->settings->bits, title,
                           error);
    if (code == 0 && s->picture.spec != NULL)
        code = picture_encode(&set->blobs[PICTURE], s, error);
    if (code == 0 && s->picture.spec != NULL)
        code = picture_encode_thumb(&set->blobs[THUMB], s, error);
    for (int i = 0; i < FILES; i++)
        set->bytes += (int64_t)set->blobs[i].size;
    return code;
}

static int write_files(struct keep *k, const struct snippet *s, struct set *set,
                       struct error *error)
{
    char stem[PLACE_FILE_BYTES];
    int code = place_stem(k->place, s->t_first_ns, s->stream,
                          s->continuous ? "continuous" : s->label, s->event, stem, error);
    for (int i = 0; i < FILES && code == 0; i++) {
        if (set->blobs[i].size == 0)
            continue;
        snprintf(set->names[i], sizeof set->names[i], "%s%s", stem, endings[i]);
        set->fds[i] =
            place_write(k->place, set->names[i], set->blobs[i].data, set->blobs[i].size, error);
        code = set->fds[i] < 0 ? set->fds[i] : 0;
    }
    return code;
}

/* Rows and the log take room beside the files. */
enum { ROW_BYTES = 64 << 10 };

/* Written all before the first is flushed: the disk is asked once. code: of what came before. */
static int flush_files(struct keep *k, struct set *set, int code, struct error *error)
{
    for (int i = 0; i < FILES; i++) {
        struct error later;
        int flushed =
            set->fds[i] >= 0 ? place_flush(k->place, set->fds[i], code == 0 ? error : &later) : 0;
        set->fds[i] = -1;
        code = code == 0 ? flushed : code;
    }
    return code;
}

static int move_files(struct keep *k, const struct set *set, struct error *error)
{
    int code = 0, any = -1;
    for (int i = 0; i < FILES && code == 0; i++) {
        if (set->blobs[i].size == 0)
            continue;
        code = place_move(k->place, set->names[i], error);
        any = i;
    }
    return code == 0 && any >= 0 ? place_settle(k->place, set->names[any], error) : code;
}

static void remove_files(struct keep *k, const struct set *set)
{
    for (int i = 0; i < FILES; i++)
        if (set->names[i][0] != '\0')
            place_remove(k->place, set->names[i]);
}

static const char *name_of(const struct set *set, int i)
{
    return set->blobs[i].size > 0 ? set->names[i] : NULL;
}

struct store_tally keep_tally(const struct snippet *s, enum store_outcome outcome)
{
    struct store_tally t = {.hour = s->t_onset_ns / 3600000000000 * 3600};
    memcpy(t.stream, s->stream, sizeof t.stream);
    memcpy(t.label, s->label, sizeof t.label);
    t.n[outcome] = 1;
    return t;
}

static int add_row(struct keep *k, const struct snippet *s, const struct set *set,
                   struct error *error)
{
    struct store_files files = {name_of(set, INPUT), name_of(set, AUDIO), name_of(set, PICTURE),
                                name_of(set, THUMB), set->bytes};
    struct store_tally tally = keep_tally(s, STORE_KEPT);
    int code = store_snippet(k->store, s, &files, error);
    return code == 0 && !s->continuous ? store_tally(k->store, &tally, error) : code;
}

static int commit_row(struct keep *k, const struct snippet *s, const struct set *set,
                      struct error *error)
{
    int code = store_begin(k->store, error);
    if (code < 0)
        return code;
    code = add_row(k, s, set, error);
    if (code == 0)
        return store_end(k->store, error);
    store_undo(k->store);
    return code;
}

/* Moved and told of at once, for whoever compares files and rows. */
static int move_and_commit(struct keep *k, const struct snippet *s, const struct set *set,
                           struct error *error)
{
    int code = place_commit_begin(k->place, 1, error);
    if (code < 0)
        return code;
    code = move_files(k, set, error);
    if (code == 0)
        code = commit_row(k, s, set, error);
    if (code < 0)
        remove_files(k, set);
    place_commit_end(k->place);
    return code;
}

int keep_snippet(struct keep *k, const struct snippet *s, struct error *error)
{
    struct set set = {.fds = {-1, -1, -1, -1}};
    int code = encode(k, s, &set, error);
    if (code == 0)
        code = retention_make_room(k->retention, set.bytes + ROW_BYTES, error);
    if (code == 0)
        code = write_files(k, s, &set, error);
    for (int i = 0; i < FILES; i++) {
        free(set.blobs[i].data); /* its size stays, and says that there is a file */
        set.blobs[i].data = NULL;
    }
    code = flush_files(k, &set, code, error);
    if (code < 0) {
        remove_files(k, &set);
        return code;
    }
    code = move_and_commit(k, s, &set, error);
    if (code == 0)
        k->retention->size_bytes += set.bytes;
    return code;
}
