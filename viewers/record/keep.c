/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "viewers/record/blob.h"
#include "viewers/record/flac.h"
#include "viewers/record/picture.h"

enum { INPUT, AUDIO, PICTURE, THUMB, FILES };

static const char *const endings[FILES] = {".input.flac", ".audio.flac", ".png", ".thumb.png"};

struct set {
    struct blob blobs[FILES]; /* size 0: not kept */
    char names[FILES][PLACE_FILE_BYTES + 16];
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
        code = place_write(k->place, set->names[i], set->blobs[i].data, set->blobs[i].size, error);
    }
    return code;
}

static const char *name_of(const struct set *set, int i)
{
    return set->blobs[i].size > 0 ? set->names[i] : NULL;
}

static int commit_row(struct keep *k, const struct snippet *s, const struct set *set,
                      const struct store_tally *tally, struct error *error)
{
    struct store_files files = {name_of(set, INPUT), name_of(set, AUDIO), name_of(set, PICTURE),
                                name_of(set, THUMB), set->bytes};
    int code = store_begin(k->store, error);
    if (code < 0)
        return code;
    code = store_snippet(k->store, s, &files, error);
    if (code == 0 && tally != NULL)
        code = store_tally(k->store, tally, error);
    if (code == 0)
        return store_end(k->store, error);
    store_undo(k->store);
    return code;
}

/* Moved and told of at once, for whoever compares files and rows. */
static int move_and_commit(struct keep *k, const struct snippet *s, const struct set *set,
                           const struct store_tally *tally, struct error *error)
{
    int code = place_commit_begin(k->place, 1, error), any = -1;
    if (code < 0)
        return code;
    for (int i = 0; i < FILES && code == 0; i++) {
        if (set->blobs[i].size == 0)
            continue;
        code = place_move(k->place, set->names[i], error);
        any = i;
    }
    if (code == 0 && any >= 0)
        code = place_settle(k->place, set->names[any], error);
    if (code == 0)
        code = commit_row(k, s, set, tally, error);
    if (code < 0)
        for (int i = 0; i < FILES; i++)
            if (set->names[i][0] != '\0')
                place_remove(k->place, set->names[i]);
    place_commit_end(k->place);
    return code;
}

/* Rows and the log take room beside the files. */
enum { ROW_BYTES = 64 << 10 };

int keep_snippet_files(struct keep *k, const struct snippet *s, const struct store_tally *tally,
                       struct error *error)
{
    struct set set = {.bytes = 0};
    int code = encode(k, s, &set, error);
    if (code == 0)
        code = retention_make_room(k->retention, set.bytes + ROW_BYTES, error);
    if (code == 0) {
        code = write_files(k, s, &set, error);
        if (code == 0)
            code = move_and_commit(k, s, &set, tally, error);
        for (int i = 0; i < FILES && code < 0; i++)
            if (set.names[i][0] != '\0')
                place_remove(k->place, set.names[i]);
    }
    if (code == 0)
        k->retention->size_bytes += set.bytes;
    for (int i = 0; i < FILES; i++)
        blob_finish(&set.blobs[i]);
    return code;
}
