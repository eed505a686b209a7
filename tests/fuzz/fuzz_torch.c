/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes whole checkpoints, zip files and streams: whatever the bytes, one line says why not, or
 * every tensor can be read, or one line says that its data is damaged. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/weights/torch_file.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_line(const struct error *error, const char *path)
{
    must(strncmp(error->text, path, strlen(path)) == 0);
    for (const char *c = error->text; *c != '\0'; c++)
        must((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("torch", MFD_CLOEXEC);
        must(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    must(ftruncate(fd, (off_t)size) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    struct torch_file *f = NULL;
    struct error error = {""};
    int r = torch_open(&f, path, &error);
    if (r < 0) {
        must(f == NULL && r == -EINVAL);
        check_line(&error, path);
        return 0;
    }
    for (size_t i = 0; i < torch_count(f); i++) {
        const struct torch_tensor *t = torch_at(f, i);
        must(torch_find(f, t->name) == t);
        char *values = malloc(t->cells * dtype_size(t->dtype));
        must(values != NULL || t->cells == 0);
        if (torch_read(f, t, values, &error) < 0)
            check_line(&error, path);
        free(values);
    }
    torch_close(f);
    return 0;
}

#ifdef __clang__
/* Checksums that fit again: without them nearly every change to a zip file ends at the same line.
 */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint32_t checksum(const uint8_t *data, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static size_t little(const uint8_t *at, int width)
{
    size_t v = 0;
    for (int i = width - 1; i >= 0; i--)
        v = v << 8 | at[i];
    return v;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    for (size_t i = 0; seed % 8 != 0 && i + 46 <= size; i++) {
        if (memcmp(data + i, "PK\1\2", 4) != 0)
            continue;
        size_t n = little(data + i + 20, 4), local = little(data + i + 42, 4);
        if (local + 30 > size)
            continue;
        size_t at = local + 30 + little(data + local + 26, 2) + little(data + local + 28, 2);
        if (at > size || n > size - at)
            continue;
        uint32_t crc = checksum(data + at, n);
        for (int k = 0; k < 4; k++)
            data[i + 16 + (size_t)k] = (uint8_t)(crc >> 8 * k);
    }
    return size;
}
#endif
