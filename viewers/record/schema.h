/* SPDX-License-Identifier: Apache-2.0
 * The database's version and tables, as docs/record.md has them. */
#ifndef FOCAL_RECORD_SCHEMA_H
#define FOCAL_RECORD_SCHEMA_H

enum {
    SCHEMA_VERSION = 1,
    SCHEMA_APPLICATION = 0x666f6372, /* "focr" */
    SCHEMA_BUSY_MS = 10000,
};

#define SCHEMA_TABLES                                                                              \
    "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"                \
    " stream TEXT NOT NULL, run INTEGER NOT NULL, event INTEGER, label TEXT,"                      \
    " label_index INTEGER, p_peak REAL, t_onset_ns INTEGER NOT NULL, onset INTEGER NOT NULL,"      \
    " t_end_ns INTEGER, \"end\" INTEGER, t_first_ns INTEGER NOT NULL, first INTEGER NOT NULL,"     \
    " count INTEGER NOT NULL, cut INTEGER NOT NULL, model_hash TEXT, t_scores_ns INTEGER,"         \
    " scores BLOB, input_file TEXT, audio_file TEXT, picture_file TEXT, thumb_file TEXT,"          \
    " bytes INTEGER NOT NULL, lost INTEGER NOT NULL, favourite INTEGER NOT NULL DEFAULT 0,"        \
    " note TEXT);"                                                                                 \
    "CREATE INDEX event_onset ON event (t_onset_ns);"                                              \
    "CREATE INDEX event_label ON event (label, t_onset_ns);"                                       \
    "CREATE INDEX event_stream ON event (stream, t_onset_ns);"                                     \
    "CREATE INDEX event_oldest ON event (t_first_ns) WHERE favourite = 0;"                         \
    "CREATE TABLE gap (event_id INTEGER NOT NULL REFERENCES event (id) ON DELETE CASCADE,"         \
    " topic TEXT NOT NULL, kind TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,"    \
    " messages INTEGER NOT NULL);"                                                                 \
    "CREATE INDEX gap_event ON gap (event_id);"                                                    \
    "CREATE TABLE loss (id INTEGER PRIMARY KEY, t_ns INTEGER NOT NULL, stream TEXT NOT NULL,"      \
    " run INTEGER NOT NULL, topic TEXT NOT NULL, messages INTEGER NOT NULL,"                       \
    " first INTEGER NOT NULL);"                                                                    \
    "CREATE INDEX loss_time ON loss (t_ns);"                                                       \
    "CREATE TABLE listening (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, run INTEGER NOT NULL,"  \
    " t_from_ns INTEGER NOT NULL, t_to_ns INTEGER NOT NULL, UNIQUE (stream, t_from_ns));"          \
    "CREATE TABLE tally (stream TEXT NOT NULL, label TEXT NOT NULL, hour INTEGER NOT NULL,"        \
    " heard INTEGER NOT NULL, kept INTEGER NOT NULL, private INTEGER NOT NULL,"                    \
    " ruled_out INTEGER NOT NULL, dropped INTEGER NOT NULL,"                                       \
    " PRIMARY KEY (hour, stream, label)) WITHOUT ROWID;"                                           \
    "CREATE TABLE model (hash TEXT PRIMARY KEY, name TEXT, architecture TEXT, interpreter TEXT,"   \
    " labels TEXT) WITHOUT ROWID;"

#endif
