/* SPDX-License-Identifier: Apache-2.0
 * The overlap test (paper, Fig. 2): two sounds at once or one after the other, and which of them
 * the interpretation keeps. */
#ifndef FOCALD_DAEMON_EVAL_OVERLAP_H
#define FOCALD_DAEMON_EVAL_OVERLAP_H

#include "base/error.h"
#include "daemon/eval_window.h"
#include "model/model.h"

enum overlap_mode {
    OVERLAP_MIX,   /* both over the whole window */
    OVERLAP_CONCAT /* the first half of the window is the first's, the second half the second's */
};

/* 0, or -EINVAL naming what is allowed. */
int overlap_mode_parse(const char *name, enum overlap_mode *ret, struct error *error);

struct overlap_config {
    const struct model *model;
    const char *backend; /* see backends.h */
    enum precision precision;
    int threads;
    enum eval_resampler resampler;
    double quantile;
    enum overlap_mode mode;
    const char *dir; /* that exists */
    int number;      /* of the test, from 1 */
};

/* 0, or -EINVAL where files are not "A,B". */
int overlap_files_check(const char *files, struct error *error);

struct overlap;

/* files: "A,B", that have passed the check. Reads them. Errors name the file. config is copied. */
int overlap_open(struct overlap **ret, const struct overlap_config *config, const char *files,
                 struct error *error);
/* Once: hears both and writes into dir STEM.png (mixture, map, mask, interpretation) and as sound
 * STEM-mixture.wav, STEM-interpretation.wav, STEM-a.wav and STEM-b.wav; STEM is
 * overlap-NUMBER-A-B of the files' names. Errors name the file. */
int overlap_run(struct overlap *overlap, struct error *error);
void overlap_close(struct overlap *overlap); /* takes NULL */

#endif
