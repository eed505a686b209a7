/* SPDX-License-Identifier: Apache-2.0
 * The history that focal-record keeps (docs/record.md), read only: for focal-record's own commands
 * and for other viewers. A `struct history` belongs to one thread. It may be open while a recorder
 * writes, and stays good when the recorder ends.
 *
 * Functions return 0 or a negative errno with a line in *error. */
#ifndef FOCAL_RECORD_HISTORY_H
#define FOCAL_RECORD_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct history;

/* The directory where the history is when nobody names one (docs/record.md). -ENOENT: there is no
 * place, since neither XDG_DATA_HOME nor HOME is set. */
int history_default_dir(char *ret, size_t size, struct error *error);

/* -ENOENT when there is no history yet: a viewer may try again later. -EPROTO: of another version.
 */
int history_open(struct history **ret, const char *dir, struct error *error);
void history_close(struct history *history); /* takes NULL */

enum history_kind { HISTORY_ANY, HISTORY_EVENT, HISTORY_CONTINUOUS };

/* All zeros asks for everything, by onset, newest first. */
struct history_filter {
    enum history_kind kind;
    const char *label;      /* exactly, but for case; NULL: any */
    const char *stream;     /* exactly; NULL: any */
    const char *text;       /* a part of the label or note, but for case; NULL: any */
    int64_t from_ns, to_ns; /* of the onset, [from, to); 0: no limit */
    double p_min;           /* of p_peak; continuous rows have none and fail any above 0 */
    bool favourites;        /* only these */
    int64_t before_id;      /* go on after this row, where a page ended; 0: from the beginning */
    bool oldest_first;
    int limit; /* rows at most; 0: all */
};

/* Strings live as long as the call that gives them out; NULL where the column is. */
struct history_row {
    int64_t id;
    enum history_kind kind;
    const char *stream, *label;
    int64_t run, event;           /* event: -1 when continuous */
    int label_index;              /* -1 when continuous */
    double p_peak;                /* NAN when continuous */
    int64_t t_onset_ns, t_end_ns; /* t_end_ns: 0 while unknown */
    int64_t t_first_ns, first, count;
    bool cut, favourite;
    const char *model_hash, *note;
    const char *input_file, *audio_file, *picture_file, *thumb_file; /* below the directory */
    int64_t bytes, lost;
};

/* Ends early, with its value, when `take` returns anything but 0. */
typedef int history_take_row(void *user, const struct history_row *row);
int history_query(struct history *history, const struct history_filter *filter,
                  history_take_row *take, void *user, struct error *error);
/* -ENOENT: no such row. */
int history_get(struct history *history, int64_t id, history_take_row *take, void *user,
                struct error *error);

struct history_score {
    const char *label; /* NULL while the model's labels are unknown */
    int index;
    double p, p_paper, cosine;
};

/* The scores of a row's most telling window, most probable first, `most` at most (0: all). A row
 * without scores gives none. */
typedef int history_take_score(void *user, const struct history_score *score);
int history_scores(struct history *history, int64_t id, int most, history_take_score *take,
                   void *user, struct error *error);

struct history_gap {
    const char *topic, *kind; /* docs/record.md */
    int64_t first, count, messages;
};

typedef int history_take_gap(void *user, const struct history_gap *gap);
int history_gaps(struct history *history, int64_t id, history_take_gap *take, void *user,
                 struct error *error);

/* Counts, of the tally: also of what was private, ruled out, or deleted since. */
enum history_by {
    HISTORY_BY_DAY,      /* local calendar days */
    HISTORY_BY_HOUR,     /* of each local day */
    HISTORY_BY_DAY_HOUR, /* 0 ... 23, all days together */
    HISTORY_BY_LABEL,    /* most heard first */
    HISTORY_BY_STREAM,
    HISTORY_BY_HOUR_LABEL, /* 0 ... 23, all days together, for each label */
};

struct history_count {
    const char *day;            /* "2026-11-28", or NULL where days are together */
    int hour;                   /* -1 where hours are together */
    const char *label, *stream; /* NULL where they are together */
    int64_t heard, kept, private, ruled_out, dropped;
};

/* Of the filter: label, stream, from_ns, to_ns (whole hours) count. Zeros are left out. */
typedef int history_take_count(void *user, const struct history_count *count);
int history_counts(struct history *history, enum history_by by, const struct history_filter *filter,
                   history_take_count *take, void *user, struct error *error);

struct history_span {
    const char *stream;
    int64_t t_from_ns, t_to_ns;
};

/* When anybody listened, oldest first. Of the filter: stream, from_ns, to_ns count. */
typedef int history_take_span(void *user, const struct history_span *span);
int history_listening(struct history *history, const struct history_filter *filter,
                      history_take_span *take, void *user, struct error *error);

/* DIR/file for a *_file of a row. -EINVAL for a name that leads out of the directory. */
int history_path(const struct history *history, const char *file, char *ret, size_t size,
                 struct error *error);

/* What SQLite finds wrong with the database itself. Reads all of it. text: lines. */
typedef int history_take_finding(void *user, const char *text);
int history_check(struct history *history, history_take_finding *take, void *user,
                  struct error *error);

/* Changes whenever a recorder committed something since the last call: for live views. */
int history_version(struct history *history, int64_t *ret, struct error *error);

#endif
