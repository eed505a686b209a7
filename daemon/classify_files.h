/* SPDX-License-Identifier: Apache-2.0
 * What `focald classify --out DIR` writes: for each clip STEM.wav and STEM.png. */
#ifndef FOCALD_DAEMON_CLASSIFY_FILES_H
#define FOCALD_DAEMON_CLASSIFY_FILES_H

#include "base/error.h"
#include "daemon/classifier.h"

/* Makes dir if it is missing; -errno with the line when it cannot be written. */
int classify_out_dir(const char *dir, struct error *error);

/* The stems of files: [n], each another: two inputs of one name, or an input that lies in dir,
 * never meet ("dog", "dog-2"). ret: [n] of strings to be freed with classify_stems_free. */
int classify_stems(const char *dir, char *const *files, int n, char ***ret, struct error *error);
void classify_stems_free(char **stems, int n); /* takes NULL */

/* A mono float WAV; it appears whole or not at all. */
int classify_write_wav(const char *path, const float *samples, size_t n, int rate_hz,
                       struct error *error);

#endif
