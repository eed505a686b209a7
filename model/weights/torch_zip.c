/* SPDX-License-Identifier: Apache-2.0
 * Zip files as PyTorch writes them since 1.6: in one folder of any name data.pkl, data/KEY for each
 * storage, and, since 2.0, byteorder; all stored, none compressed. What is compressed is refused,
 * so that no member is larger than the file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "model/weights/pickle.h"
#include "model/weights/torch_container.h"

enum { MAX_MEMBERS = 1 << 17, PICKLE_MAX_BYTES = 64 << 20, MAX_ENDS = 4, SHOWN_BYTES = 120 };

/* Behind the directory come its 64-bit end, the locator of that, the 22 bytes of its plain end and
 * a comment of up to 64 KiB. */
enum { END64_BYTES = 56, LOCATOR_BYTES = 20, TAIL_BYTES = LOCATOR_BYTES + 22 + 65535 };

static const char pickle_name[] = "data.pkl";

struct member {
    const char *name; /* the archive's */
    zip_uint64_t index;
};

struct archive {
    const char *path;
    struct zip *zip;
    size_t file_bytes;
    struct member *members; /* by name */
    size_t n;
    const char *folder; /* where data.pkl is */
    int folder_bytes;
    struct error *error;
};

static int damaged(const struct archive *a, const char *member, const char *what)
{
    char shown[SHOWN_BYTES];
    pickle_printable(member, strlen(member), shown, sizeof shown);
    return error_set(a->error, EINVAL, "%s: %s in the zip file %s", a->path, shown, what);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static uint64_t little64(const unsigned char *at)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | at[i];
    return v;
}

/* libzip reads all of a directory, and one for each end that it finds: for minutes where a hostile
 * file has many ends or millions of members. More than 65535 take a 64-bit directory, to which each
 * locator in the tail may lead. */
static int check_directory(const char *path, int fd, size_t file_bytes, struct error *error)
{
    int r = 0, ends = 0;
    const size_t n = file_bytes < TAIL_BYTES ? file_bytes : TAIL_BYTES;
    unsigned char *tail = malloc(n + 1);
    if (tail == NULL)
        return error_set(error, ENOMEM, "%s: out of memory", path);
    const ssize_t got = pread(fd, tail, n, (off_t)(file_bytes - n));
    if (got < 0)
        r = error_set(error, errno, "%s: cannot read it: %s", path, strerror(errno));
    for (size_t i = 0; r == 0 && got >= LOCATOR_BYTES && i <= (size_t)got - LOCATOR_BYTES; i++) {
        unsigned char end[END64_BYTES];
        if (memcmp(tail + i, "PK\5\6", 4) == 0 && ++ends > MAX_ENDS)
            r = error_set(error, EINVAL, "%s: the zip file has many ends: it is damaged", path);
        if (memcmp(tail + i, "PK\6\7", 4) != 0 || little64(tail + i + 8) > file_bytes ||
            pread(fd, end, sizeof end, (off_t)little64(tail + i + 8)) != sizeof end)
            continue;
        uint64_t members = little64(end + 32);
        if (memcmp(end, "PK\6\6", 4) == 0 && members > MAX_MEMBERS)
            r = error_set(error, EINVAL,
                          "%s: it is a zip file of %" PRIu64 " members; allowed: up to %d", path,
                          members, MAX_MEMBERS);
    }
    free(tail);
    return r;
}

static int list_members(struct archive *a)
{
    zip_int64_t n = zip_get_num_entries(a->zip, 0);
    if (n <= 0 || n > MAX_MEMBERS)
        return error_set(a->error, EINVAL,
                         "%s: it is a zip file of %lld members; expected: 1 to %d", a->path,
                         (long long)n, MAX_MEMBERS);
    a->members = calloc((size_t)n, sizeof *a->members);
    if (a->members == NULL)
        return error_set(a->error, ENOMEM, "%s: out of memory", a->path);
    for (; a->n < (size_t)n; a->n++) {
        a->members[a->n].index = a->n;
        a->members[a->n].name = zip_get_name(a->zip, a->n, ZIP_FL_ENC_RAW);
        if (a->members[a->n].name == NULL)
            return error_set(a->error, EINVAL, "%s: member %zu of the zip file has no name",
                             a->path, a->n);
    }
    qsort(a->members, a->n, sizeof *a->members, by_name);
    for (size_t i = 1; i < a->n; i++)
        if (strcmp(a->members[i - 1].name, a->members[i].name) == 0)
            return damaged(a, a->members[i].name, "is there twice: the file is damaged");
    return 0;
}

/* FOLDER/data.pkl, and no second one. */
static int find_folder(struct archive *a)
{
    for (size_t i = 0; i < a->n; i++) {
        const char *slash = strchr(a->members[i].name, '/');
        if (slash == NULL || strcmp(slash + 1, pickle_name) != 0)
            continue;
        if (a->folder != NULL)
            return damaged(a, a->members[i].name, "is the second data.pkl: the file is damaged");
        a->folder = a->members[i].name;
        a->folder_bytes = (int)(slash + 1 - a->folder);
    }
    if (a->folder == NULL)
        return error_set(a->error, EINVAL,
                         "%s: the zip file has no FOLDER/%s: it is no PyTorch checkpoint", a->path,
                         pickle_name);
    return 0;
}

static const struct member *find(const struct archive *a, const char *file, const char *key)
{
    char *name;
    if (asprintf(&name, "%.*s%s%s", a->folder_bytes, a->folder, file, key) < 0)
        return NULL;
    struct member wanted = {.name = name};
    const struct member *found = bsearch(&wanted, a->members, a->n, sizeof wanted, by_name);
    free(name);
    return found;
}

/* Its size, once it is known to be stored plainly within the file. */
static int check_member(const struct archive *a, const struct member *m, size_t *ret_bytes)
{
    zip_stat_t st;
    const zip_uint64_t known =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(a->zip, m->index, 0, &st) < 0 || (st.valid & known) != known)
        return damaged(a, m->name, "cannot be examined: the file is damaged");
    if (st.encryption_method != ZIP_EM_NONE)
        return damaged(a, m->name, "is encrypted; expected: as torch.save writes it");
    if (st.comp_method != ZIP_CM_STORE)
        return damaged(a, m->name, "is compressed; expected: stored, as torch.save writes it");
    if (st.size != st.comp_size || st.size > a->file_bytes)
        return damaged(a, m->name, "is said to be larger than it can be: the file is damaged");
    *ret_bytes = (size_t)st.size;
    return 0;
}

static int cannot_read(const char *path, const char *member, int zip_error, struct error *error)
{
    zip_error_t e;
    zip_error_init_with_code(&e, zip_error);
    int r = error_set(error, EINVAL, "%s: cannot read %s in the zip file: %s: the file is damaged",
                      path, member, zip_error_strerror(&e));
    zip_error_fini(&e);
    return r;
}

/* n bytes from first; at the end of the member also its checksum, where all of it was read. member
 * is printable. */
static int read_member(const char *path, struct zip *zip, zip_uint64_t index, const char *member,
                       size_t first, size_t n, bool to_end, void *ret, struct error *error)
{
    int code = 0;
    zip_file_t *f = zip_fopen_index(zip, index, 0);
    if (f == NULL)
        return cannot_read(path, member, zip_error_code_zip(zip_get_error(zip)), error);
    if (first > 0 && zip_fseek(f, (zip_int64_t)first, SEEK_SET) < 0)
        code = cannot_read(path, member, zip_error_code_zip(zip_file_get_error(f)), error);
    for (size_t done = 0; code == 0 && done < n;) {
        zip_int64_t got = zip_fread(f, (char *)ret + done, n - done);
        if (got <= 0)
            code = cannot_read(path, member,
                               got < 0 ? zip_error_code_zip(zip_file_get_error(f)) : ZIP_ER_EOF,
                               error);
        done += got > 0 ? (size_t)got : 0;
    }
    char beyond;
    if (code == 0 && to_end && zip_fread(f, &beyond, 1) != 0)
        code = cannot_read(path, member, zip_error_code_zip(zip_file_get_error(f)), error);
    zip_fclose(f);
    return code;
}

static int check_byteorder(const struct archive *a)
{
    const struct member *m = find(a, "byteorder", "");
    char order[8] = "";
    size_t n = 0;
    if (m == NULL) /* PyTorch 1 */
        return 0;
    int r = check_member(a, m, &n);
    if (r == 0 && n < sizeof order)
        r = read_member(a->path, a->zip, m->index, "byteorder", 0, n, true, order, a->error);
    if (r == 0 && strcmp(order, "little") != 0)
        r = error_set(a->error, EINVAL, "%s: its byte order is %s; expected: little-endian",
                      a->path, strcmp(order, "big") == 0 ? "big-endian" : "unknown");
    return r;
}

static int read_tree(const struct archive *a, struct torch_tree *tree)
{
    const struct member *m = find(a, pickle_name, "");
    size_t n = 0, used = 0;
    int r = m != NULL ? check_member(a, m, &n)
                      : error_set(a->error, ENOMEM, "%s: out of memory", a->path);
    if (r == 0 && n > PICKLE_MAX_BYTES)
        return damaged(a, m->name, "is larger than 64 MiB: it is no file of weights");
    if (r < 0)
        return r;
    char *bytes = malloc(n + 1);
    if (bytes == NULL)
        return error_set(a->error, ENOMEM, "%s: out of memory", a->path);
    r = read_member(a->path, a->zip, m->index, pickle_name, 0, n, true, bytes, a->error);
    if (r == 0)
        r = torch_tree_read(tree, a->path, bytes, n, &used, a->error);
    if (r == 0 && used != n)
        r = damaged(a, m->name, "goes on behind the end of its pickle: the file is damaged");
    free(bytes);
    return r;
}

/* The last byte is read so that a member which lies elsewhere is found out now. */
static int place_storage(const struct archive *a, struct torch_storage *storage)
{
    const struct member *m = find(a, "data/", storage->key);
    size_t n = 0;
    if (m == NULL)
        return error_set(a->error, EINVAL, "%s: the zip file has no storage %s: it is damaged",
                         a->path, storage->key);
    int r = check_member(a, m, &n);
    if (r == 0 && n != storage->bytes)
        r = error_set(a->error, EINVAL,
                      "%s: storage %s has %zu bytes, its tensors count on %zu: the file is damaged",
                      a->path, storage->key, n, storage->bytes);
    char last;
    if (r == 0 && n > 0)
        r = read_member(a->path, a->zip, m->index, storage->key, n - 1, 1, false, &last, a->error);
    storage->placed = r == 0;
    storage->place = m->index;
    return r;
}

int torch_zip_open(struct torch_tree *tree, struct zip **ret, const char *path, int fd,
                   size_t file_bytes, struct error *error)
{
    *ret = NULL;
    int checked = check_directory(path, fd, file_bytes, error);
    if (checked < 0)
        return checked;
    int code = 0, own = dup(fd); /* libzip closes the one that it gets */
    if (own < 0)
        return error_set(error, errno, "%s: cannot read it: %s", path, strerror(errno));
    struct zip *zip = zip_fdopen(own, ZIP_RDONLY, &code);
    if (zip == NULL) {
        close(own);
        zip_error_t e;
        zip_error_init_with_code(&e, code);
        int r = error_set(error, EINVAL,
                          "%s: no directory at the end of the zip file (%s): it is cut short or "
                          "damaged",
                          path, zip_error_strerror(&e));
        zip_error_fini(&e);
        return r;
    }
    struct archive a = {.path = path, .zip = zip, .file_bytes = file_bytes, .error = error};
    int r = list_members(&a);
    if (r == 0)
        r = find_folder(&a);
    if (r == 0)
        r = check_byteorder(&a);
    if (r == 0)
        r = read_tree(&a, tree);
    for (size_t i = 0; r == 0 && i < tree->n_storages; i++)
        r = place_storage(&a, tree->storages[i]);
    free(a.members);
    if (r < 0)
        zip_discard(zip);
    else
        *ret = zip;
    return r;
}

void torch_zip_close(struct zip *zip)
{
    if (zip != NULL)
        zip_discard(zip);
}

int torch_zip_read(const char *path, struct zip *zip, const struct torch_storage *storage,
                   size_t first, size_t n, void *ret, struct error *error)
{
    return read_member(path, zip, storage->place, storage->key, first, n,
                       first == 0 && n == storage->bytes, ret, error);
}
