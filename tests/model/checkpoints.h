/* SPDX-License-Identifier: Apache-2.0
 * For tests of what reads checkpoints: pickles, zip files and streams of one's own making. */
#ifndef FOCALD_TESTS_MODEL_CHECKPOINTS_H
#define FOCALD_TESTS_MODEL_CHECKPOINTS_H

#include "tests/model/places.h"

#include <stdio.h>
#include <zip.h>

struct bytes {
    unsigned char at[1 << 16];
    size_t n;
};

static inline void put(struct bytes *b, const void *data, size_t n)
{
    assert_true(n <= sizeof b->at - b->n);
    memcpy(b->at + b->n, data, n);
    b->n += n;
}

/* A literal, zeros within it too. */
#define PUT(b, literal) put((b), (literal), sizeof(literal) - 1)

static inline void put_little(struct bytes *b, uint64_t v, int width)
{
    for (int i = 0; i < width; i++, v >>= 8)
        put(b, &(unsigned char){(unsigned char)v}, 1);
}

static inline void put_string(struct bytes *b, const char *text)
{
    PUT(b, "X");
    put_little(b, strlen(text), 4);
    put(b, text, strlen(text));
}

static inline void put_integer(struct bytes *b, int64_t v)
{
    PUT(b, "\x8a\x08");
    put_little(b, (uint64_t)v, 8);
}

enum { MAX_RANK = 10 };

/* What torch._utils._rebuild_tensor_v2 is told. */
struct made_tensor {
    const char *name;
    const char *storage; /* "FloatStorage" */
    const char *key;
    int64_t numel, offset;
    int rank;
    int64_t shape[MAX_RANK], stride[MAX_RANK];
    const char *part; /* in a stream: the key of a part of the storage, from first on */
    int64_t part_first, part_cells;
    bool stream;
};

static inline void put_tensor(struct bytes *b, const struct made_tensor *t)
{
    PUT(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_string(b, "storage");
    PUT(b, "ctorch\n");
    put(b, t->storage, strlen(t->storage));
    PUT(b, "\n");
    put_string(b, t->key);
    put_string(b, "cpu");
    put_integer(b, t->numel);
    if (t->part != NULL) {
        put_string(b, t->part);
        put_integer(b, t->part_first);
        put_integer(b, t->part_cells);
        PUT(b, "\x87");
    } else if (t->stream) {
        PUT(b, "N");
    }
    PUT(b, "tQ");
    put_integer(b, t->offset);
    PUT(b, "(");
    for (int i = 0; i < t->rank; i++)
        put_integer(b, t->shape[i]);
    PUT(b, "t(");
    for (int i = 0; i < t->rank; i++)
        put_integer(b, t->stride[i]);
    PUT(b, "t\x89"
           "ccollections\nOrderedDict\n)RtR");
}

/* The pickle of a dictionary of n tensors, with the names given. */
static inline void put_tensors(struct bytes *b, const struct made_tensor *t, size_t n)
{
    PUT(b, "\x80\x02}(");
    for (size_t i = 0; i < n; i++) {
        put_string(b, t[i].name);
        put_tensor(b, &t[i]);
    }
    PUT(b, "u.");
}

struct member {
    const char *name;
    const void *data;
    size_t n;
    bool deflated, encrypted;
};

/* Ends at a member without a name. */
static inline void write_zip(const char *path, const struct member *members)
{
    int code;
    struct zip *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(zip);
    for (const struct member *m = members; m->name != NULL; m++) {
        zip_source_t *source = zip_source_buffer(zip, m->data, m->n, 0);
        zip_int64_t i = zip_file_add(zip, m->name, source, 0);
        assert_true(i >= 0);
        assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)i,
                                                  m->deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9),
                         0);
        if (m->encrypted)
            assert_int_equal(
                zip_file_set_encryption(zip, (zip_uint64_t)i, ZIP_EM_AES_256, "password"), 0);
    }
    assert_int_equal(zip_close(zip), 0);
}

/* What a stream begins with, before its object. */
static inline void put_stream_head(struct bytes *b, unsigned version, bool little)
{
    PUT(b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M");
    put_little(b, version, 2);
    PUT(b, ".\x80\x02}");
    put_string(b, "little_endian");
    put(b, little ? "\x88s." : "\x89s.", 3);
}

#endif
