/* SPDX-License-Identifier: Apache-2.0
 * From a model's directory back to Hugging Face's layout. */
#ifndef FOCALD_MODEL_IMPORT_EXPORT_H
#define FOCALD_MODEL_IMPORT_EXPORT_H

#include <signal.h>

#include "base/error.h"
#include "model/import/import.h"

/* 0 when the plan, made of a directory, is that of a model as focald keeps it: one
 * model.safetensors with our names. */
int export_check(const struct import_plan *plan, struct error *error);

/* Writes weights, config.json with the labels in it, and the files that only focald reads, into
 * dir, which is empty, and sees to it that they are on the disk. *stop: ends it early with -EINTR.
 * Importing the result gives the model's files again, byte for byte; but a config.json that held
 * labels itself may come without them, laid out anew. */
int export_write(const struct import_plan *plan, const char *dir, const volatile sig_atomic_t *stop,
                 struct error *error);

#endif
