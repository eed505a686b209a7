/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes weights files: whatever the bytes, one line says why not, or every tensor lies in the file
 * and can be read. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/weights/provider.h"
#include "model/weights/safetensors.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_tensor(const struct safetensors *f, const struct safetensors_tensor *t)
{
    size_t size, len = t->cells * dtype_size(t->dtype);
    const char *bytes = safetensors_bytes(f, &size), *data = t->data;
    must(data >= bytes + 8 && len <= size && data + len <= bytes + size);
    must(safetensors_find(f, t->name) == t);
    float *values = malloc(len * sizeof *values + 1);
    must(values != NULL);
    safetensors_float(t, values);
    free(values);
    struct weights *weights;
    struct error error = {""};
    must(weights_from_file(&weights, f, &error) == 0);
    const float *x = weights_get(weights, t->name, t->rank, t->shape, &error);
    must(x != NULL ? (uintptr_t)x % sizeof *x == 0 : error.text[0] != '\0');
    weights_done(weights);
    weights_destroy(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("safetensors", MFD_CLOEXEC);
        must(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must(ftruncate(fd, (off_t)size) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    struct safetensors *f = NULL;
    struct error error = {""};
    int r = safetensors_open(&f, path, &error);
    if (r < 0) {
        must(f == NULL && r == -EINVAL && strncmp(error.text, path, strlen(path)) == 0);
        for (const char *c = error.text; *c != '\0'; c++)
            must((unsigned char)*c >= 0x20 && *c != 0x7f);
        return 0;
    }
    for (size_t i = 0; i < safetensors_count(f); i++)
        check_tensor(f, safetensors_at(f, i));
    safetensors_metadata(f, "config");
    safetensors_release_pages(f);
    safetensors_close(f);
    return 0;
}
