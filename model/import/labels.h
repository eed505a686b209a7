/* SPDX-License-Identifier: Apache-2.0
 * The names of the classes, from where they are published, as labels.txt: one a line, in the order
 * of the classifier's rows. */
#ifndef FOCALD_MODEL_IMPORT_LABELS_H
#define FOCALD_MODEL_IMPORT_LABELS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/* Each gives labels.txt's text in *ret, to be freed, or -EINVAL with the file, the line or key, and
 * what is allowed. classes: the classifier's rows, each of which needs its label. */

/* SpeechBrain's label_encoder.txt: `repr(label) => index` lines, a line of '=', extras. */
int labels_from_encoder(char **ret, const char *text, size_t length, int classes, const char *where,
                        struct error *error);

/* id2label of config.json: {"0": label, …}. */
int labels_from_id2label(char **ret, const json_t *id2label, int classes, const char *where,
                         struct error *error);

/* {"0": label, …} of n labels, the caller's to json_decref; NULL when memory is exhausted. */
json_t *labels_to_id2label(const char *const *labels, int n);
/* {label: 0, …} */
json_t *labels_to_label2id(const char *const *labels, int n);

#endif
