/* SPDX-License-Identifier: Apache-2.0
 * Where the bytes of a checkpoint's storages lie: the members of a zip file, or the end of the
 * stream that PyTorch wrote before 1.6. For torch_file.c. */
#ifndef FOCALD_MODEL_WEIGHTS_TORCH_CONTAINER_H
#define FOCALD_MODEL_WEIGHTS_TORCH_CONTAINER_H

#include "model/weights/torch_tree.h"

struct zip;

/* Neither reads the data of storages. tree is filled, and each of its storages placed; fd stays the
 * caller's. Whatever comes of it, torch_tree_clear afterwards. */
int torch_stream_open(struct torch_tree *tree, const char *path, int fd, size_t file_bytes,
                      struct error *error);
/* ret: to be closed by torch_zip_close, or NULL */
int torch_zip_open(struct torch_tree *tree, struct zip **ret, const char *path, int fd,
                   size_t file_bytes, struct error *error);
void torch_zip_close(struct zip *zip); /* takes NULL */

/* Does the file begin as such a stream? */
bool torch_stream_begins(const unsigned char *bytes, size_t n);

/* Bytes first … first + n of a storage. A member that is read whole has its checksum compared. */
int torch_stream_read(const char *path, int fd, const struct torch_storage *storage, size_t first,
                      size_t n, void *ret, struct error *error);
int torch_zip_read(const char *path, struct zip *zip, const struct torch_storage *storage,
                   size_t first, size_t n, void *ret, struct error *error);

#endif
