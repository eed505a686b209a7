/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/zap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "ipc/keys.h"

enum { MAX_CLIENTS = 65536, REQUEST_FRAMES = 7, FRAME_MAX = 256 };

struct zap {
    void *socket;
    char *clients_file;
    struct stat read_state; /* of the file when it was read */
    uint8_t (*keys)[KEY_BYTES];
    size_t n_keys, keys_capacity;
};

static int add_key(struct zap *zap, const uint8_t key[KEY_BYTES])
{
    if (zap->n_keys == zap->keys_capacity) {
        size_t capacity = zap->keys_capacity > 0 ? 2 * zap->keys_capacity : 16;
        void *keys = realloc(zap->keys, capacity * sizeof *zap->keys);
        if (keys == NULL)
            return -ENOMEM;
        zap->keys = keys;
        zap->keys_capacity = capacity;
    }
    memcpy(zap->keys[zap->n_keys++], key, KEY_BYTES);
    return 0;
}

static int read_lines(struct zap *zap, FILE *file, struct error *error)
{
    char line[512];
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        bool whole = strchr(line, '\n') != NULL || feof(file);
        char *text = line + strspn(line, " \t");
        text[strcspn(text, " \t\r\n")] = '\0';
        if (whole && (text[0] == '\0' || strncmp(text, "# ", 2) == 0 || strcmp(text, "#") == 0))
            continue;
        uint8_t key[KEY_BYTES];
        /* '#' is also a character of Z85, so a comment is what starts with it and is no key */
        if (!whole || !key_decode(text, key)) {
            if (whole && text[0] == '#')
                continue;
            return error_set(error, EINVAL,
                             "CURVE clients %s: line %d is not a public key, which is 40 "
                             "characters of Z85",
                             zap->clients_file, number);
        }
        if (zap->n_keys == MAX_CLIENTS || add_key(zap, key) != 0)
            return error_set(error, ENOMEM, "CURVE clients %s: line %d: more than %d keys",
                             zap->clients_file, number, MAX_CLIENTS);
    }
    if (ferror(file))
        return error_set(error, EIO, "CURVE clients %s: cannot be read", zap->clients_file);
    return 0;
}

static int read_clients(struct zap *zap, struct error *error)
{
    zap->n_keys = 0;
    memset(&zap->read_state, 0, sizeof zap->read_state);
    FILE *file = fopen(zap->clients_file, "re");
    if (file == NULL)
        return error_set(error, errno, "CURVE clients %s: %s", zap->clients_file, strerror(errno));
    int code = 0;
    if (fstat(fileno(file), &zap->read_state) != 0 || !S_ISREG(zap->read_state.st_mode))
        code = error_set(error, EINVAL, "CURVE clients %s: not a file", zap->clients_file);
    if (code == 0)
        code = read_lines(zap, file, error);
    fclose(file);
    if (code != 0)
        zap->n_keys = 0;
    return code;
}

static bool changed(const struct zap *zap)
{
    struct stat now;
    if (stat(zap->clients_file, &now) != 0)
        return true;
    const struct stat *then = &zap->read_state;
    return now.st_ino != then->st_ino || now.st_dev != then->st_dev ||
           now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != then->st_mtim.tv_nsec;
}

static bool allowed(struct zap *zap, const uint8_t *key)
{
    if (changed(zap))
        read_clients(zap, NULL); /* on failure the list is empty: nobody */
    for (size_t i = 0; i < zap->n_keys; i++)
        if (memcmp(zap->keys[i], key, KEY_BYTES) == 0)
            return true;
    return false;
}

/* Without a socket. */
static int open_clients(struct zap **ret, const char *clients_file, struct error *error)
{
    struct zap *zap = calloc(1, sizeof *zap);
    int code = 0;
    if (zap == NULL || (zap->clients_file = strdup(clients_file)) == NULL)
        code = error_set(error, ENOMEM, "CURVE clients %s: out of memory", clients_file);
    if (code == 0)
        code = read_clients(zap, error);
    if (code != 0) {
        zap_destroy(zap);
        return code;
    }
    *ret = zap;
    return 0;
}

int zap_check(const char *clients_file, struct error *error)
{
    struct zap *zap;
    int code = open_clients(&zap, clients_file, error);
    if (code == 0)
        zap_destroy(zap);
    return code;
}

int zap_create(struct zap **ret, void *context, const char *clients_file, struct error *error)
{
    struct zap *zap;
    const int linger = 0;
    int code = open_clients(&zap, clients_file, error);
    if (code != 0)
        return code;
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (zap->socket == NULL ||
        zmq_setsockopt(zap->socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(zap->socket, "inproc://zeromq.zap.01") != 0) {
        code = error_set(error, zmq_errno(), "CURVE clients %s: %s", clients_file,
                         zmq_strerror(zmq_errno()));
        zap_destroy(zap);
        return code;
    }
    *ret = zap;
    return 0;
}

void zap_destroy(struct zap *zap)
{
    if (zap == NULL)
        return;
    if (zap->socket != NULL)
        zmq_close(zap->socket);
    free(zap->keys);
    free(zap->clients_file);
    free(zap);
}

void *zap_socket(struct zap *zap)
{
    return zap->socket;
}

/* Frames: version, request id, domain, address, identity, mechanism, credentials. */
struct request {
    char frames[REQUEST_FRAMES][FRAME_MAX];
    int bytes[REQUEST_FRAMES];
    int n;
};

/* Returns false when none waits. */
static bool receive(struct zap *zap, struct request *request)
{
    int more = 1;
    size_t size = sizeof more;
    for (request->n = 0; more; request->n++) {
        char spare[FRAME_MAX];
        bool kept = request->n < REQUEST_FRAMES;
        int n = zmq_recv(zap->socket, kept ? request->frames[request->n] : spare, FRAME_MAX,
                         ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        if (kept)
            request->bytes[request->n] = n;
        zmq_getsockopt(zap->socket, ZMQ_RCVMORE, &more, &size);
    }
    return true;
}

void zap_serve(struct zap *zap)
{
    struct request request;
    while (receive(zap, &request)) {
        bool yes = request.n == REQUEST_FRAMES && request.bytes[5] == 5 &&
                   memcmp(request.frames[5], "CURVE", 5) == 0 && request.bytes[6] == KEY_BYTES &&
                   allowed(zap, (const uint8_t *)request.frames[6]);
        const char *status = yes ? "200" : "400", *text = yes ? "OK" : "key not allowed";
        int id_bytes = request.n > 1 && request.bytes[1] <= FRAME_MAX ? request.bytes[1] : 0;
        zmq_send(zap->socket, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(zap->socket, request.frames[1], (size_t)id_bytes, ZMQ_SNDMORE);
        zmq_send(zap->socket, status, 3, ZMQ_SNDMORE);
        zmq_send(zap->socket, text, strlen(text), ZMQ_SNDMORE);
        zmq_send(zap->socket, "", 0, ZMQ_SNDMORE);
        zmq_send(zap->socket, "", 0, 0);
    }
}
