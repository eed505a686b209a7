/* SPDX-License-Identifier: Apache-2.0
 * verify: the database is whole, every row has whole files, every file has a row. May run beside a
 * recorder: names are compared while nothing changes, contents afterwards. */
#include <cairo.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewers/record/commands.h"
#include "viewers/record/flac.h"
#include "viewers/record/printout.h"

enum { FILES = 4 };

struct entry {
    int64_t id, count, bytes;
    char *files[FILES]; /* input, audio, picture, thumb */
};

struct verifying {
    struct history *history;
    struct error *error;
    struct printout printout;
    struct entry *rows;
    size_t n, capacity;
    char **names; /* [n_names] of all rows, sorted */
    size_t n_names;
    int64_t bad, files;
};

static void report(struct verifying *v, int64_t id, const char *text)
{
    v->bad++;
    FILE *out = v->printout.out != NULL ? v->printout.out : stdout;
    if (id > 0)
        fprintf(out, "%" PRId64 ": %s\n", id, text);
    else
        fprintf(out, "%s\n", text);
}

static int add_row(void *user, const struct history_row *r)
{
    struct verifying *v = user;
    if (v->n == v->capacity) {
        size_t capacity = v->capacity > 0 ? 2 * v->capacity : 256;
        struct entry *grown = realloc(v->rows, capacity * sizeof *grown);
        if (grown == NULL)
            return error_set(v->error, ENOMEM, "out of memory");
        v->rows = grown;
        v->capacity = capacity;
    }
    const char *const files[FILES] = {r->input_file, r->audio_file, r->picture_file, r->thumb_file};
    struct entry *e = &v->rows[v->n++];
    *e = (struct entry){.id = r->id, .count = r->count, .bytes = r->bytes};
    for (int i = 0; i < FILES; i++)
        if (files[i] != NULL && (e->files[i] = strdup(files[i])) == NULL)
            return error_set(v->error, ENOMEM, "out of memory");
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(struct verifying *v)
{
    v->names = calloc(FILES * v->n + 1, sizeof *v->names);
    if (v->names == NULL)
        return error_set(v->error, ENOMEM, "out of memory");
    for (size_t i = 0; i < v->n; i++)
        for (int k = 0; k < FILES; k++)
            if (v->rows[i].files[k] != NULL)
                v->names[v->n_names++] = v->rows[i].files[k];
    if (v->n_names > 0)
        qsort(v->names, v->n_names, sizeof *v->names, by_name);
    for (size_t i = 1; i < v->n_names; i++)
        if (strcmp(v->names[i], v->names[i - 1]) == 0) {
            char text[900];
            snprintf(text, sizeof text, "%s: belongs to two rows", v->names[i]);
            report(v, 0, text);
        }
    return 0;
}

static int check_stranger(void *user, const char *file, struct error *error)
{
    struct verifying *v = user;
    v->files++;
    if (v->n_names > 0 && bsearch(&file, v->names, v->n_names, sizeof *v->names, by_name) != NULL)
        return 0;
    char text[900];
    snprintf(text, sizeof text, "%s: no row has it%s", file,
             place_is_ours(file) ? "; the recorder removes it when it starts" : "");
    report(v, 0, text);
    return 0;
}

/* Whether the row is still there: it may have been deleted while we looked. */
static int nothing(void *user, const struct history_row *row)
{
    return 0;
}

static bool is_gone(struct verifying *v, int64_t id)
{
    struct error ignored;
    return history_get(v->history, id, nothing, NULL, &ignored) == -ENOENT;
}

static int check_png(const char *path, struct error *error)
{
    cairo_surface_t *s = cairo_image_surface_create_from_png(path);
    cairo_status_t status = cairo_surface_status(s);
    cairo_surface_destroy(s);
    return status == CAIRO_STATUS_SUCCESS
               ? 0
               : error_set(error, EIO, "%s: %s", path, cairo_status_to_string(status));
}

static int check_row(struct verifying *v, const struct entry *e)
{
    struct error why;
    int64_t bytes = 0, bad = 0;
    for (int k = 0; k < FILES; k++) {
        char path[1200];
        struct stat st;
        if (e->files[k] == NULL)
            continue;
        int code = history_path(v->history, e->files[k], path, sizeof path, &why);
        if (code == 0 && stat(path, &st) < 0)
            code = error_set(&why, errno, "%s: %s", path, strerror(errno));
        if (code == 0)
            bytes += st.st_size;
        if (code == 0)
            code = k < 2 ? flac_check(path, (size_t)e->count, &why) : check_png(path, &why);
        if (code < 0 && is_gone(v, e->id))
            return 0;
        if (code < 0) {
            report(v, e->id, why.text);
            bad++;
        }
    }
    if (bad == 0 && bytes != e->bytes && !is_gone(v, e->id)) {
        snprintf(why.text, sizeof why.text, "its files have %" PRId64 " bytes, not %" PRId64, bytes,
                 e->bytes);
        report(v, e->id, why.text);
    }
    return 0;
}

static int report_database(void *user, const char *text)
{
    char line[900];
    for (size_t n; *text != '\0'; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (strncmp(text, "***", 3) == 0)
            continue; /* SQLite's headline */
        snprintf(line, sizeof line, "history.db: %.*s", (int)n, text);
        report(user, 0, line);
    }
    return 0;
}

static int compare(struct verifying *v, struct place *place)
{
    static const struct history_filter everything = {.oldest_first = true};
    int code = place_commit_begin(place, 0, v->error);
    if (code < 0)
        return code;
    code = history_query(v->history, &everything, add_row, v, v->error);
    if (code == 0)
        code = list_names(v);
    if (code == 0)
        code = place_walk(place, check_stranger, v, v->error);
    place_commit_end(place);
    return code;
}

/* The database, and its names against those of the files. */
static int check_names(struct verifying *v, struct place *place)
{
    int code = printout_begin(&v->printout, v->error);
    if (code == 0)
        code = history_check(v->history, report_database, v, v->error);
    if (code == 0)
        code = compare(v, place);
    return printout_end(&v->printout, code, v->error);
}

static void finish(struct verifying *v)
{
    for (size_t i = 0; i < v->n; i++)
        for (int k = 0; k < FILES; k++)
            free(v->rows[i].files[k]);
    free(v->rows);
    free(v->names);
    history_close(v->history);
}

int command_verify(const struct arguments *a)
{
    struct error error;
    struct verifying v = {.error = &error};
    struct place place = {.lock_fd = -1, .commit_fd = -1};
    int code = history_open(&v.history, a->dir, &error);
    if (code == 0)
        code = place_look(&place, a->dir, &error);
    if (code == 0)
        code = check_names(&v, &place);
    for (size_t i = 0; i < v.n && code == 0; i++)
        code = check_row(&v, &v.rows[i]);
    if (code == 0)
        printf("%zu snippets, %" PRId64 " files: %s\n", v.n, v.files,
               v.bad == 0 ? "all whole" : "not all whole");
    int64_t bad = v.bad;
    finish(&v);
    place_release(&place);
    if (code < 0)
        return complain(&error);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
