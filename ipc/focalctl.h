/* SPDX-License-Identifier: Apache-2.0
 * What the files of focalctl share: the options, and one request with its reply. */
#ifndef FOCALD_IPC_FOCALCTL_H
#define FOCALD_IPC_FOCALCTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "ipc/libfocal/focal.h"

enum { EXIT_USAGE = 2, ENDPOINT_BYTES = 512 };

struct focalctl {
    struct focal *focal;
    char data[ENDPOINT_BYTES], control[ENDPOINT_BYTES];
    bool json;
    int timeout_ms;
};

/* Sends request (taking the reference). The reply, or NULL when there is none or it is an error;
 * the line is on stderr then. */
json_t *focalctl_ask(struct focalctl *ctl, json_t *request);

/* Each command prints and returns the exit status. */
int focalctl_listen(struct focalctl *ctl, char **topics, int n);
int focalctl_doctor(struct focalctl *ctl);

/* Without what could steer a terminal: each control character is a blank. */
void focalctl_print_text(const char *text, FILE *out);
void focalctl_show_status(const json_t *status, FILE *out);
void focalctl_show_streams(const json_t *streams, FILE *out);
void focalctl_show_values(const json_t *values, FILE *out);
void focalctl_show_info(const json_t *info, FILE *out);

#endif
