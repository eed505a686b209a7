/* SPDX-License-Identifier: Apache-2.0
 * Several processes that share a training's batches, started by Open MPI's mpirun. */
#ifndef FOCALD_DAEMON_TRAIN_MPI_H
#define FOCALD_DAEMON_TRAIN_MPI_H

#include <stdbool.h>

#include "base/error.h"
#include "model/train/trainer.h"

/* *ret: NULL where mpirun did not start this process. -ENOTSUP where it did and focald was built
 * without MPI. */
int train_mpi_begin(const struct trainer_ranks **ret, struct error *error);
/* Of processes that find the same mistake before they are begun: whether this one tells it. */
bool train_mpi_tells(void);
/* After the last use. failed: the others, who may be waiting for this process, are ended too. */
void train_mpi_end(int failed);

#endif
