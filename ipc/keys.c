/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

bool key_decode(const char *text, uint8_t ret[KEY_BYTES])
{
    uint8_t bytes[KEY_BYTES];
    if (strlen(text) != KEY_TEXT_BYTES - 1 || zmq_z85_decode(bytes, text) == NULL)
        return false;
    if (ret != NULL)
        memcpy(ret, bytes, sizeof bytes);
    return true;
}

static int read_key(const char *path, bool secret, char ret[KEY_TEXT_BYTES], struct error *error)
{
    const char *what = secret ? "CURVE secret key" : "CURVE public key";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "%s %s: %s; `focalctl keygen FILE` makes a pair", what, path,
                         strerror(errno));
    struct stat st;
    char text[128];
    int code = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        code = error_set(error, EINVAL, "%s %s: not a file", what, path);
    else if (secret && (st.st_mode & 077) != 0)
        code =
            error_set(error, EPERM,
                      "%s %s: others may read it (mode %04o); chmod 600 it, and if they may have "
                      "read it, make a new pair",
                      what, path, (unsigned)st.st_mode & 07777);
    if (code == 0) {
        ssize_t n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, " \t\r\n")] = '\0';
        if (!key_decode(text, NULL))
            code = error_set(error, EINVAL,
                             "%s %s: not a key, which is 40 characters of Z85 on one line; "
                             "`focalctl keygen FILE` makes a pair",
                             what, path);
        else
            memcpy(ret, text, KEY_TEXT_BYTES);
    }
    explicit_bzero(text, sizeof text);
    close(fd);
    return code;
}

int key_read_secret(const char *path, char ret_secret[KEY_TEXT_BYTES],
                    char ret_public[KEY_TEXT_BYTES], struct error *error)
{
    char secret[KEY_TEXT_BYTES], public[KEY_TEXT_BYTES];
    int code = read_key(path, true, secret, error);
    if (code == 0 && zmq_curve_public(public, secret) != 0)
        code = error_set(error, ENOTSUP, "CURVE secret key %s: this libzmq has no CURVE", path);
    if (code == 0) {
        memcpy(ret_secret, secret, sizeof secret);
        memcpy(ret_public, public, sizeof public);
    }
    explicit_bzero(secret, sizeof secret);
    return code;
}

int key_read_public(const char *path, char ret_public[KEY_TEXT_BYTES], struct error *error)
{
    return read_key(path, false, ret_public, error);
}

/* Writes one key beside path and links it into place: whole or not at all, and never over a file.
 */
static int write_key(const char *path, const char *key, mode_t mode, struct error *error)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return error_set(error, ENAMETOOLONG, "%s: the name is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    char line[KEY_TEXT_BYTES + 1];
    n = snprintf(line, sizeof line, "%s\n", key);
    int code = 0;
    if (write(fd, line, (size_t)n) != n || fchmod(fd, mode) != 0 || fsync(fd) != 0)
        code = error_set(error, EIO, "%s: cannot be written: %s", path, strerror(errno));
    else if (link(temporary, path) != 0)
        code = errno == EEXIST
                   ? error_set(error, EEXIST, "%s: is there already; move it away first", path)
                   : error_set(error, errno, "%s: cannot be written: %s", path, strerror(errno));
    explicit_bzero(line, sizeof line);
    close(fd);
    unlink(temporary);
    return code;
}

int key_write_pair(const char *path, char ret_public[KEY_TEXT_BYTES], struct error *error)
{
    char public_path[PATH_MAX], public[KEY_TEXT_BYTES], secret[KEY_TEXT_BYTES];
    int n = snprintf(public_path, sizeof public_path, "%s.pub", path);
    if (n < 0 || (size_t)n >= sizeof public_path)
        return error_set(error, ENAMETOOLONG, "%s: the name is too long", path);
    if (zmq_curve_keypair(public, secret) != 0)
        return error_set(error, ENOTSUP, "%s: this libzmq has no CURVE", path);
    int code = write_key(path, secret, 0600, error);
    explicit_bzero(secret, sizeof secret);
    if (code != 0)
        return code;
    code = write_key(public_path, public, 0644, error);
    if (code != 0) {
        unlink(path); /* half a pair helps nobody */
        return code;
    }
    memcpy(ret_public, public, sizeof public);
    return 0;
}
