/* SPDX-License-Identifier: Apache-2.0
 * What a checkpoint has against what its network needs. */
#ifndef FOCALD_MODEL_IMPORT_MATCH_H
#define FOCALD_MODEL_IMPORT_MATCH_H

#include "model/import/import.h"

/* Fills named, by name. -EINVAL: two tensors with one name. */
int match_names(struct import_plan *plan, enum net_kind kind, struct error *error);
/* By our name, or NULL. */
const struct checkpoint_tensor *match_find(const struct import_plan *plan, const char *name);
/* True when a name begins like this. */
bool match_any(const struct import_plan *plan, const char *start);

/* Fills rows and missing. 0, or -EINVAL with the first thing that does not fit. */
int match_tensors(struct import_plan *plan, struct error *error);

#endif
