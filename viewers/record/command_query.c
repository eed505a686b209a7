/* SPDX-License-Identifier: Apache-2.0
 * query and show: lists for people, JSON and CSV for programs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewers/record/commands.h"
#include "viewers/record/csv.h"
#include "viewers/record/history_json.h"
#include "viewers/record/printout.h"
#include "viewers/record/text.h"
#include "viewers/record/times.h"

static int print_json(FILE *out, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
    if (text == NULL)
        return -ENOMEM;
    fprintf(out, "%s\n", text);
    free(text);
    return 0;
}

struct listing {
    struct printout printout;
    enum format format;
};

static void print_row(FILE *out, const struct history_row *r)
{
    char when[40];
    time_text(r->t_onset_ns, when, sizeof when);
    fprintf(out, "%7" PRId64 "  %s  %7.1f  ", r->id, when, (double)r->count / 16000);
    if (r->label != NULL)
        fprintf(out, "%3.0f %%  ", 100 * r->p_peak);
    else
        fprintf(out, "       ");
    text_print_column(out, r->stream, 14);
    fprintf(out, "  ");
    text_print(out, r->label != NULL ? r->label : "(continuous)");
    if (r->favourite)
        fprintf(out, "  *");
    if (r->lost > 0)
        fprintf(out, "  [%.1f s lost]", (double)r->lost / 16000);
    if (r->note != NULL) {
        fprintf(out, "  \"");
        text_print(out, r->note);
        fputc('"', out);
    }
    fputc('\n', out);
}

static int take_row(void *user, const struct history_row *row)
{
    const struct listing *l = user;
    switch (l->format) {
    case FORMAT_JSON:
        return print_json(l->printout.out, history_row_json(row));
    case FORMAT_CSV:
        csv_row(l->printout.out, row);
        return 0;
    case FORMAT_TABLE:
        print_row(l->printout.out, row);
        return 0;
    }
    return 0;
}

int command_query(const struct arguments *a)
{
    struct history *h = NULL;
    struct error error = {"out of memory"};
    struct history_filter filter = a->filter;
    struct listing l = {.format = a->format};
    if (filter.limit == 0 && l.format == FORMAT_TABLE && !a->all)
        filter.limit = 50;
    int code = history_open(&h, a->dir, &error);
    if (code == 0)
        code = printout_begin(&l.printout, &error);
    if (code == 0 && l.format == FORMAT_CSV)
        csv_row_header(l.printout.out);
    if (code == 0 && l.format == FORMAT_TABLE)
        fputs("     id  when                 seconds      p  stream          label\n",
              l.printout.out);
    if (code == 0)
        code = history_query(h, &filter, take_row, &l, &error);
    history_close(h);
    code = printout_end(&l.printout, code, &error);
    return code < 0 ? complain(&error) : EXIT_SUCCESS;
}

/* show */

static void show_row(const struct history_row *r)
{
    char onset[40], end[40] = "unknown", first[40];
    time_text(r->t_onset_ns, onset, sizeof onset);
    time_text(r->t_first_ns, first, sizeof first);
    if (r->t_end_ns != 0)
        time_text(r->t_end_ns, end, sizeof end);
    printf("id          %" PRId64 "%s\nlabel       ", r->id, r->favourite ? "  (favourite)" : "");
    text_print(stdout, r->label != NULL ? r->label : "(continuous)");
    if (r->label != NULL)
        printf(", %.1f %%", 100 * r->p_peak);
    printf("\nstream      ");
    text_print(stdout, r->stream);
    printf("\nfrom, to    %s, %s\n", onset, end);
    printf("snippet     %s, %.2f s%s\n", first, (double)r->count / 16000,
           r->cut ? "; the sound goes on" : "");
    printf("model       ");
    text_print(stdout, r->model_hash != NULL ? r->model_hash : "unknown");
    putchar('\n');
    const char *const files[] = {r->input_file, r->audio_file, r->picture_file};
    for (int i = 0; i < 3; i++)
        if (files[i] != NULL)
            printf("%-11s %s\n", i == 0 ? "files" : "", files[i]);
    if (r->note != NULL) {
        printf("note        ");
        text_print(stdout, r->note);
        putchar('\n');
    }
    if (r->lost > 0)
        printf("lost        %.3f s\n", (double)r->lost / 16000);
}

static int show_taken(void *user, const struct history_row *row)
{
    show_row(row);
    return 0;
}

static int show_score(void *user, const struct history_score *s)
{
    bool *begun = user;
    printf("%-11s %5.1f %%  cosine %+.3f  ", *begun ? "" : "scores", 100 * s->p, s->cosine);
    *begun = true;
    text_print(stdout, s->label != NULL ? s->label : "?");
    putchar('\n');
    return 0;
}

static int show_gap(void *user, const struct history_gap *g)
{
    printf("gap         %s, %s: %" PRId64 " samples from %" PRId64, g->topic, g->kind, g->count,
           g->first);
    if (g->messages > 0)
        printf(", %" PRId64 " messages", g->messages);
    putchar('\n');
    return 0;
}

static int show_text(struct history *h, int64_t id, struct error *error)
{
    bool begun = false;
    int code = history_get(h, id, show_taken, NULL, error);
    if (code == 0)
        code = history_scores(h, id, 10, show_score, &begun, error);
    return code == 0 ? history_gaps(h, id, show_gap, NULL, error) : code;
}

int command_show(const struct arguments *a)
{
    struct history *h = NULL;
    struct error error = {"out of memory"};
    int64_t id;
    json_t *json;
    if (!read_id(a->words[0], &id))
        return EXIT_USAGE;
    int code = history_open(&h, a->dir, &error);
    if (code == 0 && a->format == FORMAT_JSON) {
        code = history_whole_json(h, id, 0, &json, &error);
        if (code == 0)
            code = print_json(stdout, json);
    } else if (code == 0) {
        code = show_text(h, id, &error);
    }
    history_close(h);
    return code < 0 ? complain(&error) : EXIT_SUCCESS;
}
