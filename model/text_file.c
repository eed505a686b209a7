/* SPDX-License-Identifier: Apache-2.0 */
#include "model/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Up to size bytes; less when the file is cut meanwhile. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, to + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static int read_open(int fd, const char *path, char **ret, size_t *ret_length, struct error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(error, EINVAL, "%s is not a regular file", path);
    if (st.st_size > TEXT_FILE_MAX)
        return error_set(error, EINVAL, "%s is %lld bytes; allowed: up to %d", path,
                         (long long)st.st_size, TEXT_FILE_MAX);
    char *text = malloc((size_t)st.st_size + 1);
    if (text == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    ssize_t n = read_all(fd, text, (size_t)st.st_size);
    if (n < 0) {
        int code = errno;
        free(text);
        return error_set(error, code, "%s: cannot read it: %s", path, strerror(code));
    }
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        memmove(text, text + 3, (size_t)(n -= 3));
    text[n] = '\0';
    *ret = text;
    *ret_length = (size_t)n;
    return 0;
}

int text_file_read(const char *path, char **ret, size_t *ret_length, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    if (fd < 0)
        return error_set(error, errno, "%s: cannot read it: %s", path, strerror(errno));
    int r = read_open(fd, path, ret, ret_length, error);
    close(fd);
    return r;
}
