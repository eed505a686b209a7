/* SPDX-License-Identifier: Apache-2.0
 * What the runner and the parity tool need of an opened model. */
#ifndef FOCALD_MODEL_MODEL_INTERNAL_H
#define FOCALD_MODEL_MODEL_INTERNAL_H

#include "model/model.h"
#include "model/nets/net.h"
#include "model/weights/provider.h"

enum { MODEL_MAX_CLASSES = 100000 };

const struct net_config *model_net(const struct model *model);
/* A provider of the model's weights, the caller's to destroy; the model outlives it. */
int model_weights(const struct model *model, struct weights **ret, struct error *error);

/* Reads config.json's text; where: its path, for errors. The head's sizes and PIQ's codebook, which
 * the weights tell, are left alone. */
int net_config_parse(struct net_config *ret, const char *text, size_t length, const char *where,
                     struct error *error);
/* Reads labels.txt's text into *ret_labels: one allocation, to be freed, [*ret_n]. */
int labels_parse(const char *text, size_t length, const char *where, const char *const **ret_labels,
                 int *ret_n, struct error *error);
/* Reads preprocess.json's text over the defaults. */
int preprocess_parse(struct model_preprocess *ret, const char *text, size_t length,
                     const char *where, struct error *error);
void preprocess_default(struct model_preprocess *ret);
/* A window's spectrogram has the size that PIQ's decoder makes. */
bool preprocess_fits_piq(const struct model_preprocess *preprocess);
/* Well-formed UTF-8 without control characters. */
bool text_is_printable(const char *text);
/* Such text as a line of labels.txt may be. */
enum { LABEL_MAX_BYTES = 255 };
bool text_is_label(const char *text);

#endif
