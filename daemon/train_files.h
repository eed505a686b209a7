/* SPDX-License-Identifier: Apache-2.0
 * What can be told of a training's sound files before the work begins: whether they are there, are
 * sound and long enough, and whether what validates is not among what trains. */
#ifndef FOCALD_DAEMON_TRAIN_FILES_H
#define FOCALD_DAEMON_TRAIN_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/eval_data.h"

/* How focald train is asked to leave out clips that fail. */
#define TRAIN_KEEP_GOING "--set classes.keep_going=yes"

/* By its header, or, whole, by all of it. Errors name the file: it is not there, not a regular
 * file, not sound, damaged, or shorter at rate_hz than `least` samples (-EINVAL). */
int train_file_check(const char *path, int rate_hz, size_t least, bool whole, struct error *error);

/* Puts behind what is wrong with a clip how to go on without it. Returns r. */
int train_file_advise(int r, struct error *error);

/* Takes the clips out of data that train_file_check refuses, *ret_left_out more; without keep_going
 * the first is the error. -EINTR when a signal came. On all threads. */
int train_files_check(struct eval_data *data, int rate_hz, size_t least, bool whole,
                      bool keep_going, int *ret_left_out, struct error *error);

/* How many of them are, by their headers, longer than so many samples at rate_hz. */
int train_files_longer(const struct eval_data *data, int rate_hz, size_t samples);

/* -EINVAL where one file, by whatever name, is both a training and a validation clip: its accuracy
 * would be that of a lesson. Both: [n]. Files that are not there are passed over. */
int train_files_overlap(const struct eval_data *train, const struct eval_data *valid, int n,
                        struct error *error);

#endif
