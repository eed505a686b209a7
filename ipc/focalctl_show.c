/* SPDX-License-Identifier: Apache-2.0
 * Replies as tables for people. A daemon of another version may leave fields out: they show as "-".
 * Text of others is printed without control characters, so that it cannot play with the terminal.
 */
#include "ipc/focalctl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { MAX_COLUMNS = 12, CELL_BYTES = 256 };

struct table {
    int columns;
    const char *const *titles;
    const bool *right;         /* numbers */
    char (*cells)[CELL_BYTES]; /* [rows][columns] */
    int rows;
};

void focalctl_print_text(const char *text, FILE *out)
{
    while (*text != '\0') {
        size_t n = utf8_control(text);
        fputc(n > 0 ? ' ' : *text, out);
        text += n > 0 ? n : 1;
    }
}

/* Columns that a terminal needs for UTF-8 text of one-column characters. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        if (((unsigned char)*text & 0xc0) != 0x80)
            n++;
    return n;
}

static void print_cell(FILE *out, const char *text, int width, bool right, bool last)
{
    int pad = width - width_of(text);
    if (right)
        fprintf(out, "%*s%s", pad > 0 ? pad : 0, "", text);
    else
        fprintf(out, "%s%*s", text, pad > 0 && !last ? pad : 0, "");
    fputs(last ? "\n" : "  ", out);
}

static void print_table(const struct table *t, FILE *out)
{
    int widths[MAX_COLUMNS];
    for (int c = 0; c < t->columns; c++) {
        widths[c] = width_of(t->titles[c]);
        for (int r = 0; r < t->rows; r++) {
            int w = width_of(t->cells[r * t->columns + c]);
            widths[c] = w > widths[c] ? w : widths[c];
        }
    }
    for (int r = -1; r < t->rows; r++)
        for (int c = 0; c < t->columns; c++)
            print_cell(out, r < 0 ? t->titles[c] : t->cells[r * t->columns + c], widths[c],
                       t->right[c], c == t->columns - 1);
}

static void cell_text(char ret[CELL_BYTES], const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (text != NULL && text[0] != '\0') {
        int n = 0;
        while (*text != '\0' && n + 1 < CELL_BYTES) {
            const size_t control = utf8_control(text);
            ret[n++] = control > 0 ? ' ' : *text;
            text += control > 0 ? control : 1;
        }
        ret[n] = '\0';
    } else if (json_is_integer(value)) {
        snprintf(ret, CELL_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(ret, CELL_BYTES, "%.1f", json_real_value(value));
    } else {
        snprintf(ret, CELL_BYTES, "-");
    }
}

struct column {
    const char *title, *key;
    bool right;
};

static void show_rows(const json_t *list, const struct column *columns, int n, FILE *out)
{
    const char *titles[MAX_COLUMNS];
    bool right[MAX_COLUMNS];
    int rows = (int)json_array_size(list);
    char(*cells)[CELL_BYTES] = calloc((size_t)(rows > 0 ? rows * n : 1), CELL_BYTES);
    if (cells == NULL)
        return;
    for (int c = 0; c < n; c++) {
        titles[c] = columns[c].title;
        right[c] = columns[c].right;
        for (int r = 0; r < rows; r++)
            cell_text(cells[r * n + c], json_array_get(list, (size_t)r), columns[c].key);
    }
    struct table table = {n, titles, right, cells, rows};
    print_table(&table, out);
    free(cells);
}

static void print_duration(FILE *out, json_int_t s)
{
    if (s >= 86400)
        fprintf(out, "%" JSON_INTEGER_FORMAT " d ", s / 86400);
    fprintf(out, "%02d:%02d:%02d", (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
}

void focalctl_show_status(const json_t *status, FILE *out)
{
    static const struct column columns[] = {
        {"STREAM", "name", false},          {"STATE", "state", false},
        {"WINDOWS", "windows", true},       {"SKIPPED", "skipped_windows", true},
        {"LOST", "lost_samples", true},     {"P50 MS", "latency_ms_p50", true},
        {"P99 MS", "latency_ms_p99", true}, {"PROBLEM", "problem", false},
    };

    const json_t *model = json_object_get(status, "model");
    char version[CELL_BYTES], backend[CELL_BYTES], precision[CELL_BYTES], name[CELL_BYTES],
        hash[CELL_BYTES];
    cell_text(version, status, "version");
    cell_text(backend, status, "backend");
    cell_text(precision, status, "precision");
    cell_text(name, model, "name");
    cell_text(hash, model, "hash");
    fprintf(out, "focald %s, up ", version);
    print_duration(out, json_integer_value(json_object_get(status, "uptime_s")));
    fprintf(out, ", backend %s", backend);
    if (json_object_get(status, "precision") != NULL) /* an older focald does not say */
        fprintf(out, " in %s", precision);
    json_int_t failures = json_integer_value(json_object_get(status, "gpu_failures"));
    if (failures > 0)
        fprintf(out, ", the GPU failed %" JSON_INTEGER_FORMAT " times", failures);
    json_int_t bytes = json_integer_value(json_object_get(status, "resident_bytes"));
    if (bytes > 0)
        fprintf(out, ", %" JSON_INTEGER_FORMAT " MB", (bytes + 500000) / 1000000);
    fprintf(out, "\nmodel %s (%.12s)\n\n", name, hash);
    show_rows(json_object_get(status, "streams"), columns, 8, out);
}

void focalctl_show_streams(const json_t *streams, FILE *out)
{
    static const struct column columns[] = {
        {"STREAM", "name", false}, {"SOURCE", "source", false},    {"STATE", "state", false},
        {"HZ", "rate_hz", true},   {"CHANNELS", "channels", true}, {"WHAT", "text", false},
    };
    show_rows(streams, columns, 6, out);
}

static void print_value(const json_t *value, FILE *out)
{
    if (json_is_string(value)) {
        focalctl_print_text(json_string_value(value), out);
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            const json_t *item = json_array_get(value, i);
            fputs(i == 0 ? "" : json_is_array(item) ? "; " : ", ", out);
            print_value(item, out);
        }
    } else if (!json_is_object(value)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        fputs(text != NULL ? text : "-", out);
        free(text);
    }
}

void focalctl_show_values(const json_t *values, FILE *out)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)values, key, value) {
        focalctl_print_text(key, out);
        fputs(" = ", out);
        print_value(value, out);
        fputc('\n', out);
    }
}

static void show_fields(const json_t *object, const char *prefix, FILE *out)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)object, key, value) {
        char path[CELL_BYTES];
        snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (json_is_object(value) && strlen(path) < CELL_BYTES - 1) {
            show_fields(value, path, out);
            continue;
        }
        fputs("  ", out);
        focalctl_print_text(path, out);
        fputs(": ", out);
        print_value(value, out);
        fputc('\n', out);
    }
}

void focalctl_show_info(const json_t *info, FILE *out)
{
    const char *stream;
    json_t *fields;
    json_object_foreach ((json_t *)info, stream, fields) {
        focalctl_print_text(stream, out);
        fputc('\n', out);
        show_fields(fields, "", out);
    }
}
