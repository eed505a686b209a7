/* SPDX-License-Identifier: Apache-2.0
 * Command lines: a mode declares its options in one const table and gets parsing, error lines and
 * --help from it. Options that stand for a key of the configuration are collected for config_load.
 */
#ifndef FOCALD_DAEMON_OPTIONS_H
#define FOCALD_DAEMON_OPTIONS_H

#include <stdbool.h>

#include "daemon/config.h"

struct option_spec {
    const char *name;          /* "model": --model */
    char letter;               /* -m, or 0 */
    const char *argument;      /* "DIR" in --help; NULL: a flag */
    const char *help;          /* one line */
    const char *section, *key; /* the configuration's key it sets (a flag sets "yes"), or NULL */
};

struct option_usage {
    const char *synopsis;              /* "focald classify [OPTION…] FILE…" */
    const char *about;                 /* a paragraph for --help */
    const struct option_spec *options; /* name NULL at the end */
    const char *more;                  /* text after the options in --help, or NULL */
    bool operands;                     /* arguments that are no options are taken */
};

enum { OPTIONS_MAX = 64 };

struct options {
    const struct option_usage *usage;
    struct config_option config[OPTIONS_MAX]; /* in the order given */
    int n_config;
    struct {
        const struct option_spec *spec;
        const char *value; /* NULL for a flag */
    } given[OPTIONS_MAX];  /* all others */
    int n_given;
    char **operands;
    int n_operands;
};

/* --help (prints, returns 1) and --version are there for every mode. Returns 0 to go on, 1 when all
 * is done (exit 0), or -EINVAL after printing the mistake (exit EXIT_USAGE). */
int options_parse(struct options *ret, const struct option_usage *usage, int argc, char **argv);

/* The last value given for an option without a key; NULL when it was not (a flag: "" when it was).
 */
const char *options_value(const struct options *options, const char *name);
/* As a number within [from, to]; otherwise `fallback`. Returns 0, or -EINVAL after printing. */
int options_integer(const struct options *options, const char *name, int from, int to, int *ret);
int options_number(const struct options *options, const char *name, double from, double to,
                   double *ret);

#endif
