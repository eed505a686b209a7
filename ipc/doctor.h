/* SPDX-License-Identifier: Apache-2.0
 * focalctl doctor: what keeps focald from hearing, and how to mend it. Each check is a function
 * that adds findings; it looks from outside, as the user who asks. */
#ifndef FOCALD_IPC_DOCTOR_H
#define FOCALD_IPC_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "ipc/focalctl.h"

enum { DOCTOR_FINDINGS = 96, DOCTOR_TEXT_BYTES = 800, DOCTOR_OUTPUT_BYTES = 16384 };

enum verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct finding {
    enum verdict verdict;
    const char *check; /* a static string */
    char text[DOCTOR_TEXT_BYTES];
    char mend[DOCTOR_TEXT_BYTES]; /* "" where nothing is to be done */
};

struct doctor {
    struct focalctl *ctl;
    struct finding findings[DOCTOR_FINDINGS];
    int n;
    json_t *status; /* the daemon's, NULL: it does not answer */
    /* The daemon's user where that is not who asks, such as a service's; "": it is, or none is
     * there. What such a daemon may and where it keeps things is not told by what this user may and
     * has. */
    char owner[64];
};

/* mend: "" or NULL with DOCTOR_OK. */
void doctor_find(struct doctor *d, enum verdict verdict, const char *check, const char *mend,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Runs a program with its standard input empty, at most timeout_ms; keeps what it prints, cut to
 * size. Returns the exit status, or -1 when it could not be run, ended on a signal or took too
 * long. */
int doctor_run(char *const argv[], char *ret_out, char *ret_err, size_t size, int timeout_ms);
/* Takes the next line off *text; NULL at the end. Changes the text. */
char *doctor_line(char **text);

/* The checks, in the order in which they are asked. */
void doctor_check_sockets(struct doctor *d);       /* directory, files, permissions, stale ones */
void doctor_check_daemon(struct doctor *d);        /* does it answer, does it publish */
void doctor_check_streams(struct doctor *d);       /* GPU, sources, losses */
void doctor_check_servers(struct doctor *d);       /* PipeWire and JACK */
void doctor_check_configuration(struct doctor *d); /* configuration and model, by focald itself */
void doctor_check_disk(struct doctor *d);          /* where state is kept */
void doctor_check_permissions(struct doctor *d);   /* runtime directory, groups, limits */

#endif
