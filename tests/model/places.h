/* SPDX-License-Identifier: Apache-2.0
 * For tests of model/: where the data lies, a scratch directory, files in it, and errors that are
 * one line. */
#ifndef FOCALD_TESTS_MODEL_PLACES_H
#define FOCALD_TESTS_MODEL_PLACES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

struct place {
    char path[4096];
};

/* FOCALD_SOURCE_ROOT, or the one that the build knows, or the nearest directory upwards that holds
 * the tests' model. */
static inline struct place in_source(const char *path)
{
    static const char *const roots[] = {".", "..", "../..", "../../.."};
    const char *root = getenv("FOCALD_SOURCE_ROOT");
    struct place p;
#ifdef SOURCE_ROOT
    root = root != NULL ? root : SOURCE_ROOT;
#endif
    for (size_t i = 0; root == NULL && i < sizeof roots / sizeof *roots; i++) {
        snprintf(p.path, sizeof p.path, "%s/tests/data/baseline/config.json", roots[i]);
        if (access(p.path, R_OK) == 0)
            root = roots[i];
    }
    assert_non_null(root);
    snprintf(p.path, sizeof p.path, "%s/%s", root, path);
    return p;
}

/* FOCALD_SHARED, or shared/ beside the source. */
static inline struct place in_shared(const char *path)
{
    const char *shared = getenv("FOCALD_SHARED");
    struct place p = in_source("../shared/");
    if (shared != NULL)
        snprintf(p.path, sizeof p.path, "%s/", shared);
    strncat(p.path, path, sizeof p.path - strlen(p.path) - 1);
    return p;
}

/* Reference data that is in the source, or larger data beside it; skips the test without it. */
static inline struct place golden(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "tests/data/golden/%s", name);
    struct place p = in_source(path);
    if (access(p.path, R_OK) == 0)
        return p;
    snprintf(path, sizeof path, "golden/%s", name);
    p = in_shared(path);
    if (access(p.path, R_OK) != 0) {
        print_message("skipped: no %s (FOCALD_SHARED names the directory)\n", p.path);
        skip();
    }
    return p;
}

static char scratch[64];

static inline int make_scratch(void **state)
{
    snprintf(scratch, sizeof scratch, "%s/focald-model-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(scratch) != NULL ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static inline int remove_scratch(void **state)
{
    return nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct place in_scratch(const char *name)
{
    struct place p;
    snprintf(p.path, sizeof p.path, "%s/%s", scratch, name);
    return p;
}

static inline void write_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* The whole file with a zero behind it, to be freed. */
static inline char *read_bytes(const char *path, size_t *ret_n)
{
    struct stat st;
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    char *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    *ret_n = fread(bytes, 1, (size_t)st.st_size, f);
    assert_int_equal(*ret_n, st.st_size);
    bytes[*ret_n] = '\0';
    fclose(f);
    return bytes;
}

/* One printable line that holds each of the pieces (NULL ends them). */
static inline void assert_line(const struct error *error, ...)
{
    va_list pieces;
    va_start(pieces, error);
    for (const char *c = error->text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            fail_msg("control characters in: %s", error->text);
    if (error->text[0] == '\0')
        fail_msg("no error text");
    for (const char *piece; (piece = va_arg(pieces, const char *)) != NULL;)
        if (strstr(error->text, piece) == NULL)
            fail_msg("\"%s\" is not in: %s", piece, error->text);
    va_end(pieces);
}

/* xorshift64*: a seed tells the whole sequence. */
static inline uint64_t random_next(uint64_t *s)
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 0x2545F4914F6CDD1Du;
}

#endif
