/* SPDX-License-Identifier: Apache-2.0
 * config.json's text and the labels in it. Export adds them behind everything else, and import
 * takes just that away again, so that all other bytes stay as they were. */
#ifndef FOCALD_MODEL_IMPORT_CONFIG_TEXT_H
#define FOCALD_MODEL_IMPORT_CONFIG_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

/* True when the object's id2label has exactly these labels. */
bool config_labels_agree(const json_t *config, const char *const *labels, int n);

/* The text with id2label and label2id of these labels; where it has them, as it is. To be freed;
 * NULL when memory is exhausted. text: one JSON object. */
char *config_add_labels(const char *text, const char *const *labels, int n);

/* The text without what config_add_labels adds, and without an id2label of other labels (that of
 * the network it was trained from), and what goes with it. */
char *config_remove_labels(const char *text, const char *const *labels, int n);

#endif
