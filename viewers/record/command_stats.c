/* SPDX-License-Identifier: Apache-2.0
 * stats: labels by the hours of the day, as a table or a picture. */
#include <cairo.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "viewers/record/commands.h"
#include "viewers/record/csv.h"
#include "viewers/record/history_json.h"
#include "viewers/record/printout.h"
#include "viewers/record/stats_picture.h"
#include "viewers/record/text.h"

static int add_count(void *user, const struct history_count *c)
{
    struct stats *s = user;
    if (s->n == 0 || strcmp(s->rows[s->n - 1].label, c->label) != 0) {
        struct stats_row *grown = realloc(s->rows, (s->n + 1) * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        s->rows = grown;
        s->rows[s->n] = (struct stats_row){.heard = {0}};
        snprintf(s->rows[s->n].label, sizeof s->rows[s->n].label, "%s", c->label);
        s->n++;
    }
    struct stats_row *row = &s->rows[s->n - 1];
    if (c->hour >= 0 && c->hour < 24)
        row->heard[c->hour] += c->heard;
    row->total += c->heard;
    row->kept += c->kept;
    row->private += c->private;
    return 0;
}

static int by_total(const void *a, const void *b)
{
    const struct stats_row *x = a, *y = b;
    if (x->total != y->total)
        return x->total < y->total ? 1 : -1;
    return strcmp(x->label, y->label);
}

static void print_table(const struct stats *s)
{
    printf("%-22s %7s %7s ", "label", "heard", "kept");
    for (int hour = 0; hour < 24; hour++)
        printf("%4d", hour);
    putchar('\n');
    for (size_t i = 0; i < s->n; i++) {
        const struct stats_row *row = &s->rows[i];
        text_print_column(stdout, row->label, 22);
        printf(" %7" PRId64 " %7" PRId64 " ", row->total, row->kept);
        for (int hour = 0; hour < 24; hour++) {
            if (row->heard[hour] == 0)
                printf("   .");
            else
                printf(" %3" PRId64, row->heard[hour]);
        }
        puts(row->private > 0 ? "  private" : "");
    }
}

static int print_json_count(void *user, const struct history_count *c)
{
    json_t *value = history_count_json(c);
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    if (text == NULL)
        return -ENOMEM;
    fprintf(user, "%s\n", text);
    free(text);
    return 0;
}

static int print_csv_count(void *user, const struct history_count *c)
{
    csv_field(user, c->label);
    fprintf(user, ",%d,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\r\n", c->hour,
            c->heard, c->kept, c->private, c->ruled_out, c->dropped);
    return 0;
}

static int print_counts(struct history *h, const struct arguments *a, const char *head,
                        history_take_count *take, struct error *error)
{
    struct printout p;
    int code = printout_begin(&p, error);
    if (code == 0) {
        fputs(head, p.out);
        code = history_counts(h, HISTORY_BY_HOUR_LABEL, &a->filter, take, p.out, error);
    }
    return printout_end(&p, code, error);
}

static int print_all(struct history *h, const struct arguments *a, struct error *error)
{
    struct stats s = {.rows = NULL};
    int code = 0;
    if (a->format == FORMAT_JSON)
        code = print_counts(h, a, "", print_json_count, error);
    if (a->format == FORMAT_CSV)
        code = print_counts(h, a, "label,hour,heard,kept,private,ruled_out,dropped\r\n",
                            print_csv_count, error);
    if (code == 0 && (a->format == FORMAT_TABLE || a->png != NULL)) {
        code = history_counts(h, HISTORY_BY_HOUR_LABEL, &a->filter, add_count, &s, error);
        if (s.n > 0)
            qsort(s.rows, s.n, sizeof s.rows[0], by_total);
        if (code == 0 && a->png != NULL)
            code = stats_picture(&s, a->png, error);
        else if (code == 0)
            print_table(&s);
    }
    free(s.rows);
    return code;
}

int command_stats(const struct arguments *a)
{
    struct history *h = NULL;
    struct error error = {"out of memory"};
    int code = history_open(&h, a->dir, &error);
    if (code == 0)
        code = print_all(h, a, &error);
    history_close(h);
    return code < 0 ? complain(&error) : EXIT_SUCCESS;
}
