/* SPDX-License-Identifier: Apache-2.0
 * One product by cuBLASLt, of row-major matrices: d = op(a) op(b), to which a bias for every column
 * and what is in `c` may be added. Descriptors and algorithm are chosen once. */
#ifndef FOCALD_MODEL_CUDA_MATMUL_H
#define FOCALD_MODEL_CUDA_MATMUL_H

#include "model/cuda/cuda.h"

struct cuda_matrix {
    enum cell_type type; /* the same of a and b; float32 in d only with float32 or half before it */
    bool transposed;     /* a: as [k][m], b: as [n][k] in memory */
    size_t stride;       /* cells from row to row in memory */
    size_t batch_stride; /* from one product of a batch to the next */
    size_t align;        /* bytes: a power of two that divides wherever runs will begin */
};

struct cuda_matmul_spec {
    int batches;
    size_t m, n, k;
    struct cuda_matrix a, b, d; /* [m][k] [k][n] [m][n]; c is laid out as d */
    bool accumulate;            /* c is added; it may be d itself */
    bool bias;                  /* [n] of d's type is added */
    bool gelu;                  /* of the sum with the bias, by tanh: bias only */
};

struct cuda_matmul;

int cuda_matmul_create(struct cuda_matmul **ret, struct backend *backend,
                       const struct cuda_matmul_spec *spec, struct error *error);
void cuda_matmul_destroy(struct cuda_matmul *matmul); /* takes NULL */
/* Bytes of workspace, which is aligned to 256. */
size_t cuda_matmul_workspace(const struct cuda_matmul *matmul);

struct cuda_matmul_places {
    const void *a, *b, *c, *bias; /* c, bias: NULL where there is none */
    void *d, *workspace;
};
/* Where the first of its runs will be: an algorithm that wants more alignment is replaced. */
int cuda_matmul_bind(struct cuda_matmul *matmul, const struct cuda_matmul_places *places,
                     struct error *error);
/* Enqueues. Places may move from those of bind by multiples of `align`. */
int cuda_matmul_run(struct cuda_matmul *matmul, const struct cuda_matmul_places *places,
                    struct error *error);

/* The greatest power of two that divides that many cells, at most what memory is aligned to. */
size_t cuda_matmul_align(enum cell_type type, size_t cells);

/* Memory of a step in parts, each aligned to 256 bytes; `bytes` is what they take together. */
static inline size_t cuda_part(size_t *bytes, size_t part)
{
    size_t at = *bytes;
    *bytes += (part + 255) / 256 * 256;
    return at;
}

/* The beginning of parts in memory that is aligned to less and has CUDA_SLACK bytes more. */
enum { CUDA_SLACK = 192 };
static inline char *cuda_parts(void *memory)
{
    return (char *)memory + (256 - (uintptr_t)memory % 256) % 256;
}

#endif
