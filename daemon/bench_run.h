/* SPDX-License-Identifier: Apache-2.0
 * What the parts of `focald bench` share. */
#ifndef FOCALD_DAEMON_BENCH_RUN_H
#define FOCALD_DAEMON_BENCH_RUN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/options.h"
#include "model/model.h"

struct bench_run {
    struct options options;
    struct config config;
    const char *model; /* as given, or NULL */
    struct model *opened;
    int batch;      /* 0: each its own */
    double seconds; /* likewise */
    json_t *json;   /* what is told at the end, or NULL for the table */
};

/* A line of the table. goal NULL: none is stated. */
void bench_row(const char *name, const char *goal, bool met, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* focalnet-base, and focalnet-tiny learning, on what the configuration says (bench_network.c). */
int bench_run_network(struct bench_run *b, struct error *error);
int bench_run_train(struct bench_run *b, struct error *error);

#endif
