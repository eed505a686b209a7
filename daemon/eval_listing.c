/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_listing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/eval_csv.h"

static const char table_name[] = "meta/esc50.csv";

/* What libsndfile reads by itself: raw samples, of which it must be told, are not among them. */
static const char *const endings[] = {
    "wav",  "flac", "ogg", "oga", "opus", "mp3",  "aif", "aiff",  "aifc", "au",  "snd", "caf",
    "w64",  "rf64", "wve", "voc", "sph",  "nist", "sf",  "ircam", "paf",  "pvf", "svx", "iff",
    "8svx", "avr",  "htk", "mat", "mat4", "mat5", "mpc", "sds",   "sd2",  "xi",
};

bool eval_fold_parse(const char **at, int *ret)
{
    if (!isdigit((unsigned char)**at))
        return false;
    char *end;
    long value = strtol(*at, &end, 10);
    *at = end;
    *ret = (int)value;
    return value >= 0 && value <= EVAL_MAX_FOLD;
}

/* Takes ownership of nothing. rows has room. */
static int add_row(struct eval_listing *l, const char *category, char *file, int fold, int line)
{
    struct eval_row row = {.file = file, .category = strdup(category), .fold = fold, .line = line};
    if (row.file == NULL || row.category == NULL) {
        free(row.file);
        free(row.category);
        return -ENOMEM;
    }
    l->rows[l->n++] = row;
    return 0;
}

static int no_memory(const struct eval_listing *l, struct error *error)
{
    return error_set(error, ENOMEM, "%s: out of memory", l->where);
}

/* The table */

struct columns {
    int filename, fold, category;
};

static int find_columns(const struct csv *csv, const char *table, struct columns *ret,
                        struct error *error)
{
    const struct {
        const char *name;
        int *to;
    } wanted[] = {{"filename", &ret->filename}, {"fold", &ret->fold}, {"category", &ret->category}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        *wanted[i].to = csv_column(csv, wanted[i].name);
        if (*wanted[i].to < 0)
            return error_set(error, EINVAL,
                             "%s: has no column %s; its heading must name filename, fold and "
                             "category",
                             table, wanted[i].name);
    }
    return 0;
}

static int add_table_row(struct eval_listing *l, const struct csv *csv,
                         const struct columns *columns, int row, struct error *error)
{
    const char *text = csv_cell(csv, row, columns->fold), *at = text;
    int fold, line = csv->lines[row + 1];
    if (!eval_fold_parse(&at, &fold) || *at != '\0')
        return error_set(error, EINVAL, "%s: line %d: fold is %.20s; allowed: 0 to %d", l->where,
                         line, text, EVAL_MAX_FOLD);
    if (add_row(l, csv_cell(csv, row, columns->category),
                strdup(csv_cell(csv, row, columns->filename)), fold, line) < 0)
        return no_memory(l, error);
    return 0;
}

/* -ENOENT without a word where there is no table. */
static int read_table(struct eval_listing *l, struct error *error)
{
    struct csv csv = {0};
    struct columns columns;
    int r = csv_read(&csv, l->where, error);
    if (r == 0)
        r = find_columns(&csv, l->where, &columns, error);
    if (r == 0 && csv.n_rows < 2)
        r = error_set(error, EINVAL, "%s: has a heading and no clips", l->where);
    if (r == 0) {
        l->rows = calloc((size_t)csv.n_rows, sizeof *l->rows);
        if (l->rows == NULL)
            r = no_memory(l, error);
    }
    for (int row = 0; row + 1 < csv.n_rows && r == 0; row++)
        r = add_table_row(l, &csv, &columns, row, error);
    csv_finish(&csv);
    return r;
}

/* Folders */

struct names {
    char **items; /* [n], sorted */
    int n, capacity;
};

static void names_finish(struct names *names)
{
    for (int i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names->items);
}

static int add_name(struct names *names, const char *name)
{
    if (names->n == names->capacity) {
        int capacity = 2 * names->capacity + 64;
        char **items = realloc(names->items, (size_t)capacity * sizeof *items);
        if (items == NULL)
            return -ENOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    names->items[names->n] = strdup(name);
    return names->items[names->n] == NULL ? -ENOMEM : (names->n++, 0);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* By its ending, and a file: one that is named and not there, as a link may be, is told later. */
static bool is_sound(int dir, const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < ARRAY_LEN(endings); i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return !is_folder(dir, name);
    return false;
}

/* The entries of a directory that are chosen, sorted, without hidden ones. */
static int list(struct names *ret, const char *path, bool (*chosen)(int dir, const char *name),
                struct error *error)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        int code = errno;
        return error_set(error, code, "%s: cannot be read: %s", path, strerror(code));
    }
    const struct dirent *entry;
    int r = 0;
    errno = 0;
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && chosen(dirfd(dir), entry->d_name) &&
            add_name(ret, entry->d_name) < 0)
            r = error_set(error, ENOMEM, "%s: out of memory", path);
        errno = 0;
    }
    if (r == 0 && errno != 0) {
        int code = errno;
        r = error_set(error, code, "%s: cannot be read: %s", path, strerror(code));
    }
    closedir(dir);
    if (ret->n > 1)
        qsort(ret->items, (size_t)ret->n, sizeof *ret->items, compare_names);
    return r;
}

static int add_files(struct eval_listing *l, const char *class, const struct names *files)
{
    struct eval_row *rows = realloc(l->rows, (size_t)(l->n + files->n) * sizeof *rows);
    if (rows == NULL)
        return -ENOMEM;
    l->rows = rows;
    for (int i = 0; i < files->n; i++) {
        char *file;
        if (asprintf(&file, "%s/%s", class, files->items[i]) < 0)
            return -ENOMEM;
        if (add_row(l, class, file, i % EVAL_FOLDER_FOLDS + 1, 0) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_class(struct eval_listing *l, const char *class, struct error *error)
{
    struct names files = {0};
    char *path;
    if (asprintf(&path, "%s/%s", l->audio, class) < 0)
        return no_memory(l, error);
    int r = list(&files, path, is_sound, error);
    if (r == 0 && files.n == 0)
        r = error_set(error, EINVAL,
                      "%s: class %.80s has no clip; a class is a folder of sound files (wav, flac, "
                      "ogg, …): put some there or remove it",
                      path, class);
    if (r == 0 && add_files(l, class, &files) < 0)
        r = no_memory(l, error);
    names_finish(&files);
    free(path);
    return r;
}

static int no_set(const char *dir, struct error *error)
{
    return error_set(error, ENOENT,
                     "--data %s: has no %s; expected: a directory with audio/ and %s, or with a "
                     "folder of sound files for each class",
                     dir, table_name, table_name);
}

static int read_folders(struct eval_listing *l, const char *dir, struct error *error)
{
    struct names classes = {0};
    int r = list(&classes, dir, is_folder, error);
    bool table_lost = false;
    for (int i = 0; i < classes.n; i++)
        table_lost |=
            strcmp(classes.items[i], "audio") == 0 || strcmp(classes.items[i], "meta") == 0;
    if (r == -ENOENT || r == -ENOTDIR || (r == 0 && (classes.n == 0 || table_lost)))
        r = no_set(dir, error);
    for (int i = 0; i < classes.n && r == 0; i++)
        r = read_class(l, classes.items[i], error);
    names_finish(&classes);
    return r;
}

/* Either */

static int set_places(struct eval_listing *l, const char *where, const char *audio,
                      struct error *error)
{
    free(l->where);
    free(l->audio);
    l->where = strdup(where);
    l->audio = strdup(audio);
    return l->where == NULL || l->audio == NULL ? error_set(error, ENOMEM, "out of memory") : 0;
}

bool eval_listing_is_folders(const char *dir)
{
    char table[PATH_MAX];
    return snprintf(table, sizeof table, "%s/%s", dir, table_name) < (int)sizeof table &&
           access(table, F_OK) < 0;
}

int eval_listing_read(struct eval_listing *ret, const char *dir, struct error *error)
{
    struct eval_listing l = {0};
    char *table = NULL, *audio = NULL;
    if (asprintf(&table, "%s/%s", dir, table_name) < 0)
        table = NULL;
    if (asprintf(&audio, "%s/audio", dir) < 0)
        audio = NULL;
    int r = table == NULL || audio == NULL ? error_set(error, ENOMEM, "out of memory")
                                           : set_places(&l, table, audio, error);
    if (r == 0)
        r = read_table(&l, error);
    if (r == -ENOENT) {
        r = set_places(&l, dir, dir, error);
        if (r == 0)
            r = read_folders(&l, dir, error);
    }
    free(table);
    free(audio);
    if (r < 0) {
        eval_listing_finish(&l);
        return r;
    }
    *ret = l;
    return 0;
}

void eval_listing_finish(struct eval_listing *listing)
{
    for (int i = 0; i < listing->n; i++) {
        free(listing->rows[i].file);
        free(listing->rows[i].category);
    }
    free(listing->rows);
    free(listing->where);
    free(listing->audio);
    *listing = (struct eval_listing){0};
}
