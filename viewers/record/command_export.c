/* SPDX-License-Identifier: Apache-2.0
 * export: a zip with everything that was chosen, or a label track for Audacity. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/newfile.h"
#include "viewers/record/commands.h"
#include "viewers/record/csv.h"
#include "viewers/record/times.h"

struct exporting {
    struct history *history;
    struct error *error;
    FILE *table; /* rows, as text */
    zip_t *zip;
    int64_t origin_ns; /* of the label track; 0: the first snippet's beginning */
    int64_t n, skipped;
};

/* The zip */

static const char table_name[] = "events.csv";

static int zip_failed(struct exporting *e, const char *what)
{
    return error_set(e->error, EIO, "%s: %s", what, zip_strerror(e->zip));
}

static int add_file(struct exporting *e, const char *file)
{
    char path[1200];
    if (file == NULL)
        return 0;
    int code = history_path(e->history, file, path, sizeof path, e->error);
    if (code < 0)
        return code;
    zip_source_t *source = zip_source_file(e->zip, path, 0, -1);
    zip_int64_t at = source != NULL ? zip_file_add(e->zip, file, source, ZIP_FL_ENC_UTF_8) : -1;
    if (at < 0) {
        zip_source_free(source);
        return zip_failed(e, file);
    }
    zip_set_file_compression(e->zip, (zip_uint64_t)at, ZIP_CM_STORE, 0); /* is compressed already */
    return 0;
}

static int take_row(void *user, const struct history_row *row)
{
    struct exporting *e = user;
    int code = add_file(e, row->input_file);
    if (code == 0)
        code = add_file(e, row->audio_file);
    if (code == 0)
        code = add_file(e, row->picture_file);
    csv_row(e->table, row);
    e->n++;
    return code;
}

static int add_table(struct exporting *e, char *text, size_t size)
{
    zip_source_t *source = zip_source_buffer(e->zip, text, size, 0);
    if (source != NULL && zip_file_add(e->zip, table_name, source, ZIP_FL_ENC_UTF_8) >= 0)
        return 0;
    zip_source_free(source);
    return zip_failed(e, table_name);
}

/* Takes the files out that were deleted meanwhile. Returns how many, or a negative errno. */
static int take_missing_out(struct exporting *e)
{
    int n = 0;
    zip_int64_t entries = zip_get_num_entries(e->zip, 0);
    for (zip_int64_t i = 0; i < entries; i++) {
        char path[1200];
        struct error ignored;
        const char *file = zip_get_name(e->zip, (zip_uint64_t)i, 0); /* NULL: taken out before */
        if (file == NULL || strcmp(file, table_name) == 0 ||
            history_path(e->history, file, path, sizeof path, &ignored) < 0 ||
            access(path, F_OK) == 0 || errno != ENOENT)
            continue;
        if (zip_delete(e->zip, (zip_uint64_t)i) < 0)
            return zip_failed(e, file);
        n++;
    }
    return n;
}

/* libzip reads what it was given only now, and renames a whole file into place. What was deleted
 * until then is left out, and said. */
static int write_zip(struct exporting *e)
{
    while (zip_close(e->zip) < 0) {
        int code = zip_failed(e, "the zip cannot be written"), n = take_missing_out(e);
        if (n <= 0)
            return n < 0 ? n : code;
        e->skipped += n;
    }
    e->zip = NULL;
    return 0;
}

static int fill_zip(struct exporting *e, const struct history_filter *filter)
{
    char *text = NULL;
    size_t size;
    e->table = open_memstream(&text, &size);
    if (e->table == NULL)
        return error_set(e->error, ENOMEM, "out of memory");
    csv_row_header(e->table);
    int code = history_query(e->history, filter, take_row, e, e->error);
    if (fclose(e->table) != 0 && code == 0)
        code = error_set(e->error, ENOMEM, "out of memory");
    if (code == 0 && e->n == 0)
        code = error_set(e->error, ENOENT,
                         "nothing to export; focal-record query shows what there is");
    if (code == 0)
        code = add_table(e, text, size);
    if (code == 0)
        code = write_zip(e);
    if (e->zip != NULL)
        zip_discard(e->zip);
    free(text);
    return code;
}

static int export_zip(struct exporting *e, const struct history_filter *filter, const char *path)
{
    int number;
    e->zip = zip_open(path, ZIP_CREATE | ZIP_EXCL, &number);
    if (e->zip != NULL)
        return fill_zip(e, filter);
    zip_error_t reason;
    zip_error_init_with_code(&reason, number);
    int code = number == ZIP_ER_EXISTS
                   ? error_set(e->error, EEXIST, "%s: is there already; name another file", path)
                   : error_set(e->error, EIO, "%s: %s", path, zip_error_strerror(&reason));
    zip_error_fini(&reason);
    return code;
}

/* The label track: "begin TAB end TAB label" in seconds */

static int take_label(void *user, const struct history_row *row)
{
    struct exporting *e = user;
    if (e->origin_ns == 0)
        e->origin_ns = row->t_first_ns;
    int64_t end =
        row->t_end_ns != 0 ? row->t_end_ns : row->t_first_ns + row->count * (1000000000 / 16000);
    if (row->label == NULL)
        return 0;
    fprintf(e->table, "%.6f\t%.6f\t", (double)(row->t_onset_ns - e->origin_ns) * 1e-9,
            (double)(end - e->origin_ns) * 1e-9);
    for (const char *at = row->label; *at != '\0'; at++)
        fputc((unsigned char)*at < 32 ? ' ' : *at, e->table);
    fprintf(e->table, " %.0f%%\n", 100 * row->p_peak);
    e->n++;
    return 0;
}

static int export_labels(struct exporting *e, const struct history_filter *filter, const char *path)
{
    struct newfile file;
    struct history_filter oldest = *filter;
    oldest.oldest_first = true;
    int code = newfile_begin(&file, path, e->error), copy = -1;
    if (code < 0)
        return code;
    copy = dup(file.fd);
    e->table = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (e->table == NULL)
        code = error_set(e->error, errno, "%s: %s", path, strerror(errno));
    if (code == 0) {
        code = history_query(e->history, &oldest, take_label, e, e->error);
        if (fclose(e->table) != 0 && code == 0)
            code = error_set(e->error, errno, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (code == 0 && e->n == 0)
        code = error_set(e->error, ENOENT,
                         "nothing to export; focal-record query shows what there is");
    if (code == 0)
        code = newfile_commit(&file, e->error);
    newfile_abandon(&file);
    return code;
}

int command_export(const struct arguments *a)
{
    struct error error;
    struct exporting e = {.error = &error, .origin_ns = a->origin_ns};
    const char *path = a->audacity != NULL ? a->audacity : a->words[0];
    if ((a->audacity != NULL) == (a->n_words == 1)) {
        fprintf(stderr,
                "focal-record: export: name a zip file, or a label track with --audacity\n");
        return EXIT_USAGE;
    }
    int code = history_open(&e.history, a->dir, &error);
    if (code == 0)
        code = a->audacity != NULL ? export_labels(&e, &a->filter, path)
                                   : export_zip(&e, &a->filter, path);
    history_close(e.history);
    if (code < 0)
        return complain(&error);
    printf("%s: %" PRId64 "%s\n", path, e.n, a->audacity != NULL ? " labels" : " snippets");
    if (e.skipped > 0)
        fprintf(stderr, "focal-record: %" PRId64 " files were deleted meanwhile\n", e.skipped);
    return EXIT_SUCCESS;
}
