/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, MAX_COLS = 1024 };

struct parser {
    const char *at, *end, *where;
    int line;
    char *to; /* behind the last field */
    struct csv csv;
    int cells, capacity, rows_capacity;
};

/* Fields */

static int quoted_field(struct parser *p, struct error *error)
{
    int begin = p->line;
    for (p->at++; p->at < p->end; p->at++) {
        if (*p->at == '\n')
            p->line++;
        if (*p->at == '"' && p->at + 1 < p->end && p->at[1] == '"')
            p->at++;
        else if (*p->at == '"')
            break;
        *p->to++ = *p->at;
    }
    if (p->at == p->end)
        return error_set(error, EINVAL, "%s: line %d: a quote (\") begins here and does not end",
                         p->where, begin);
    p->at++;
    if (p->at < p->end && *p->at != ',' && *p->at != '\r' && *p->at != '\n')
        return error_set(error, EINVAL,
                         "%s: line %d: text follows a closing quote; allowed: a comma or the "
                         "line's end (a quote within a field is written \"\")",
                         p->where, p->line);
    return 0;
}

static void plain_field(struct parser *p)
{
    while (p->at < p->end && *p->at != ',' && *p->at != '\n' &&
           !(*p->at == '\r' && (p->at + 1 == p->end || p->at[1] == '\n')))
        *p->to++ = *p->at++;
}

static int add_cell(struct parser *p, char *field)
{
    if (p->cells == p->capacity) {
        int capacity = 2 * p->capacity + 64;
        char **cells = realloc(p->csv.cells, (size_t)capacity * sizeof *cells);
        if (cells == NULL)
            return -ENOMEM;
        p->csv.cells = cells;
        p->capacity = capacity;
    }
    p->csv.cells[p->cells++] = field;
    return 0;
}

static int one_field(struct parser *p, struct error *error)
{
    char *field = p->to;
    if (p->at < p->end && *p->at == '"') {
        int r = quoted_field(p, error);
        if (r < 0)
            return r;
    } else {
        plain_field(p);
    }
    *p->to++ = '\0';
    return add_cell(p, field) < 0 ? error_set(error, ENOMEM, "%s: out of memory", p->where) : 0;
}

/* Rows */

static int add_row(struct parser *p, int line)
{
    if (p->csv.n_rows == p->rows_capacity) {
        int capacity = 2 * p->rows_capacity + 64;
        int *lines = realloc(p->csv.lines, (size_t)capacity * sizeof *lines);
        if (lines == NULL)
            return -ENOMEM;
        p->csv.lines = lines;
        p->rows_capacity = capacity;
    }
    p->csv.lines[p->csv.n_rows++] = line;
    return 0;
}

static int check_row(struct parser *p, int cols, int line, struct error *error)
{
    if (cols > MAX_COLS)
        return error_set(error, EINVAL, "%s: line %d has %d fields; allowed: up to %d", p->where,
                         line, cols, MAX_COLS);
    if (p->csv.n_rows == 0)
        p->csv.n_cols = cols;
    if (cols != p->csv.n_cols)
        return error_set(error, EINVAL, "%s: line %d has %d fields; its heading has %d", p->where,
                         line, cols, p->csv.n_cols);
    return add_row(p, line) < 0 ? error_set(error, ENOMEM, "%s: out of memory", p->where) : 0;
}

static bool at_line_end(const struct parser *p)
{
    return p->at == p->end || *p->at == '\n' ||
           (*p->at == '\r' && (p->at + 1 == p->end || p->at[1] == '\n'));
}

static void skip_line_end(struct parser *p)
{
    if (p->at < p->end && *p->at == '\r')
        p->at++;
    if (p->at < p->end && *p->at == '\n')
        p->at++;
    p->line++;
}

static int one_row(struct parser *p, struct error *error)
{
    int line = p->line, cols = 0;
    if (at_line_end(p)) {
        skip_line_end(p);
        return 0;
    }
    for (bool more = true; more; cols++) {
        int r = one_field(p, error);
        if (r < 0)
            return r;
        more = p->at < p->end && *p->at == ',';
        p->at += more;
    }
    skip_line_end(p);
    return check_row(p, cols, line, error);
}

int csv_parse(struct csv *ret, const char *text, size_t length, const char *where,
              struct error *error)
{
    static const char mark[] = "\xef\xbb\xbf";
    struct parser p = {.at = text, .end = text + length, .where = where, .line = 1};
    if (memchr(text, '\0', length) != NULL)
        return error_set(error, EINVAL, "%s: has zero bytes; it is no table of text", where);
    if (length >= 3 && memcmp(text, mark, 3) == 0)
        p.at += 3;
    p.csv.text = p.to = malloc(length + 2); /* a zero byte for each comma and line's end */
    int r = p.csv.text == NULL ? error_set(error, ENOMEM, "%s: out of memory", where) : 0;
    while (r == 0 && p.at < p.end)
        r = one_row(&p, error);
    if (r == 0 && p.csv.n_rows == 0)
        r = error_set(error, EINVAL, "%s: is empty; a heading is expected", where);
    if (r < 0) {
        csv_finish(&p.csv);
        return r;
    }
    *ret = p.csv;
    return 0;
}

int csv_read(struct csv *ret, const char *path, struct error *error)
{
    struct stat st;
    int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(error, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        r = error_set(error, EINVAL, "%s: is not a regular file", path);
    else if (st.st_size > FILE_MAX)
        r = error_set(error, EFBIG, "%s: is %lld MB; allowed: up to %d MB", path,
                      (long long)st.st_size >> 20, FILE_MAX >> 20);
    char *text = r == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    if (r == 0 && text == NULL)
        r = error_set(error, ENOMEM, "%s: out of memory", path);
    size_t n = 0;
    for (ssize_t got = 1; r == 0 && got > 0 && n < (size_t)st.st_size; n += (size_t)got) {
        got = read(fd, text + n, (size_t)st.st_size - n);
        if (got < 0) {
            r = error_set(error, errno, "%s: cannot be read: %s", path, strerror(errno));
            break;
        }
    }
    close(fd);
    if (r == 0)
        r = csv_parse(ret, text, n, path, error);
    free(text);
    return r;
}

void csv_finish(struct csv *csv)
{
    free(csv->text);
    free(csv->cells);
    free(csv->lines);
    *csv = (struct csv){0};
}

const char *csv_cell(const struct csv *csv, int row, int col)
{
    return csv->cells[(size_t)(row + 1) * (size_t)csv->n_cols + (size_t)col];
}

int csv_column(const struct csv *csv, const char *name)
{
    for (int i = 0; i < csv->n_cols; i++)
        if (strcmp(csv_cell(csv, -1, i), name) == 0)
            return i;
    return -1;
}

void csv_print(FILE *to, const char *field)
{
    if (strpbrk(field, ",\"\r\n") == NULL) {
        fputs(field, to);
        return;
    }
    fputc('"', to);
    for (const char *c = field; *c != '\0'; c++) {
        if (*c == '"')
            fputc('"', to);
        fputc(*c, to);
    }
    fputc('"', to);
}
