/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/train_mpi.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/version.h"

/* Set by Open MPI's mpirun, and by launchers that speak PMIx. */
static bool is_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL;
}

bool train_mpi_tells(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (rank == NULL)
        rank = getenv("PMIX_RANK");
    return rank == NULL || strcmp(rank, "0") == 0;
}

#ifdef FOCALD_MPI

#include <mpi.h>

static struct trainer_ranks ranks;
static bool begun;

static int told(int code, const char *what, struct error *error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n;
    if (code == MPI_SUCCESS)
        return 0;
    MPI_Error_string(code, text, &n);
    return error_set(error, EIO, "mpi: %s: %.200s", what, text);
}

static int gather(void *user, const float *mine, size_t n, float *all, struct error *error)
{
    (void)user;
    return told(MPI_Allgather(mine, (int)n, MPI_FLOAT, all, (int)n, MPI_FLOAT, MPI_COMM_WORLD),
                "the processes cannot exchange a batch", error);
}

/* Summed in one place and sent to all, so that all have the same bits. */
static int sum(void *user, float *x, size_t n, struct error *error)
{
    enum { PIECE = 1 << 24 }; /* MPI counts in int */
    int r = 0;
    (void)user;
    for (size_t at = 0; at < n && r == 0; at += PIECE) {
        const int count = (int)(n - at < PIECE ? n - at : PIECE);
        const void *from = ranks.rank == 0 ? MPI_IN_PLACE : x + at;
        r = told(MPI_Reduce(from, x + at, count, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD),
                 "the gradients cannot be summed", error);
        if (r == 0)
            r = told(MPI_Bcast(x + at, count, MPI_FLOAT, 0, MPI_COMM_WORLD),
                     "the gradients cannot be shared", error);
    }
    return r;
}

int train_mpi_begin(const struct trainer_ranks **ret, struct error *error)
{
    *ret = NULL;
    if (!is_launched())
        return 0;
    int provided, r = told(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided),
                           "cannot be begun", error);
    if (r < 0)
        return r;
    begun = true;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks.ranks);
    ranks.gather = gather;
    ranks.sum = sum;
    *ret = ranks.ranks > 1 ? &ranks : NULL;
    return 0;
}

void train_mpi_end(int failed)
{
    if (!begun)
        return;
    if (failed)
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
    MPI_Finalize();
}

#else

int train_mpi_begin(const struct trainer_ranks **ret, struct error *error)
{
    *ret = NULL;
    if (!is_launched())
        return 0;
    return error_set(error, ENOTSUP,
                     "this focald was built without Open MPI (Debian's libopenmpi-dev); run it "
                     "without mpirun");
}

void train_mpi_end(int failed)
{
    (void)failed;
}

#endif
