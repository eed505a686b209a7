/* SPDX-License-Identifier: Apache-2.0
 * For tests of import and export: the program itself, sources made of the golden tensors, and what
 * is left in the scratch directory. */
#ifndef FOCALD_TESTS_DAEMON_IMPORT_RUN_H
#define FOCALD_TESTS_DAEMON_IMPORT_RUN_H

#include "tests/model/places.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "model/weights/safetensors.h"
#include "model/weights/safetensors_write.h"

struct run {
    int status; /* exit status, or 128 + the signal */
    char *out;  /* what it printed; freed by the next run */
    struct error err;
};

static struct run last;
static long file_limit = -1; /* bytes a file may grow to, of the next run */

static inline pid_t start_focald(char *const *arguments)
{
    struct place out = in_scratch(".out"), err = in_scratch(".err");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int o = open(out.path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int e = open(err.path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(o, STDOUT_FILENO);
    dup2(e, STDERR_FILENO);
    struct rlimit limit = {(rlim_t)file_limit, (rlim_t)file_limit};
    if (file_limit >= 0)
        setrlimit(RLIMIT_FSIZE, &limit);
    execv(arguments[0], arguments);
    _exit(127);
}

static inline void wait_focald(pid_t pid)
{
    int status;
    size_t n;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    last.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    free(last.out);
    last.out = read_bytes(in_scratch(".out").path, &n);
    char *err = read_bytes(in_scratch(".err").path, &n);
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += err[i] == '\n';
    if (lines > 1)
        fail_msg("more than one line: %s", err);
    if (lines == 1)
        err[n - 1] = '\0';
    snprintf(last.err.text, sizeof last.err.text, "%s", err);
    free(err);
    file_limit = -1;
}

/* Runs focald with the arguments, ended by NULL. */
static inline void focald(const char *first, ...)
{
    char *arguments[16] = {getenv("FOCALD"), (char *)first};
    va_list rest;
    assert_non_null(arguments[0]);
    va_start(rest, first);
    for (int n = 2; n < 15 && (arguments[n] = va_arg(rest, char *)) != NULL; n++)
        continue;
    va_end(rest);
    wait_focald(start_focald(arguments));
}

#define focald_succeeds(...)                                                                       \
    do {                                                                                           \
        focald(__VA_ARGS__, NULL);                                                                 \
        if (last.status != 0)                                                                      \
            fail_msg("status %d: %s", last.status, last.err.text);                                 \
    } while (0)

static inline void assert_told(const char *piece)
{
    if (strstr(last.out, piece) == NULL)
        fail_msg("\"%s\" is not in: %s", piece, last.out);
}

/* Files */

static inline struct place in_dir(const char *dir, const char *name)
{
    struct place p;
    snprintf(p.path, sizeof p.path, "%.4000s/%s", dir, name);
    return p;
}

static inline void copy_file(const char *from, const char *to)
{
    size_t n;
    char *bytes = read_bytes(from, &n);
    write_bytes(to, bytes, n);
    free(bytes);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static inline void assert_same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = read_bytes(a, &n), *y = read_bytes(b, &m);
    if (n != m || memcmp(x, y, n) != 0)
        fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

static inline struct place new_dir(const char *name)
{
    struct place p = in_scratch(name);
    nftw(p.path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(mkdir(p.path, 0755), 0);
    return p;
}

/* No directory of that name, and no other that was begun. */
static inline void assert_nothing_written(const char *path)
{
    if (access(path, F_OK) == 0)
        fail_msg("%s was written", path);
    DIR *d = opendir(scratch);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, ".focald-", 8) == 0)
            fail_msg("%s was left", e->d_name);
    closedir(d);
}

/* Tensors */

static inline struct safetensors *open_file(const char *path)
{
    struct safetensors *f;
    struct error error;
    if (safetensors_open(&f, path, &error) < 0)
        fail_msg("%s", error.text);
    return f;
}

static inline bool is_weight(const char *name)
{
    static const char *const starts[] = {"focalnet.", "classifier.", "embeddings.",
                                         "encoder.",  "layernorm.",  "pooler."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* All weights of the golden file, and nothing else, are in the file, bit for bit. */
static inline void assert_weights_of(const char *path, const char *golden_path)
{
    struct safetensors *ours = open_file(path), *theirs = open_file(golden_path);
    size_t n = 0;
    for (size_t i = 0; i < safetensors_count(theirs); i++) {
        const struct safetensors_tensor *t = safetensors_at(theirs, i), *o;
        if (!is_weight(t->name))
            continue;
        n++;
        o = safetensors_find(ours, t->name);
        if (o == NULL || o->dtype != t->dtype || o->rank != t->rank ||
            memcmp(o->shape, t->shape, sizeof o->shape) != 0 ||
            memcmp(o->data, t->data, t->cells * dtype_size(t->dtype)) != 0)
            fail_msg("%s: tensor %s is not what it was", path, t->name);
    }
    assert_int_equal(safetensors_count(ours), n);
    safetensors_close(ours);
    safetensors_close(theirs);
}

/* How a source is made of the golden one's weights: each under the name that `rename` writes into
 * its argument (false leaves it out), floating ones in another type. */
struct recipe {
    bool (*rename)(const char *name, char *ret, size_t size);
    enum safetensors_dtype dtype;
};

struct made {
    const struct safetensors *from;
    size_t of[512];
    struct safetensors_entry entries[512];
    char names[512][160];
    size_t n;
};

/* F16's and BF16's bits are the upper half of the float's: any bits will do. */
static inline int give_made(void *context, size_t i, void *ret, size_t size, struct error *error)
{
    struct made *m = context;
    const struct safetensors_tensor *t = safetensors_at(m->from, m->of[i]);
    size_t width = dtype_size(m->entries[i].dtype);
    for (size_t k = 0; k < t->cells; k++) {
        const char *cell = (const char *)t->data + k * dtype_size(t->dtype);
        float value;
        if (t->dtype != DTYPE_F32 || width == sizeof(float)) {
            memcpy((char *)ret + k * width, cell, width);
        } else if (width == 2) {
            memcpy((char *)ret + k * 2, cell + 2, 2);
        } else {
            memcpy(&value, cell, sizeof value);
            double wide = (double)value;
            memcpy((char *)ret + k * 8, &wide, sizeof wide);
        }
    }
    return size == t->cells * width ? 0 : error_set(error, EINVAL, "a size is wrong");
}

static inline void make_file(const char *path, const char *golden_path, const struct recipe *recipe)
{
    static struct made m;
    struct error error;
    struct safetensors *from = open_file(golden_path);
    m = (struct made){.from = from};
    for (size_t i = 0; i < safetensors_count(from); i++) {
        const struct safetensors_tensor *t = safetensors_at(from, i);
        if (!is_weight(t->name) || !recipe->rename(t->name, m.names[m.n], sizeof m.names[0]))
            continue;
        struct safetensors_entry *e = &m.entries[m.n];
        *e = (struct safetensors_entry){.name = m.names[m.n], .rank = t->rank};
        e->dtype = t->dtype == DTYPE_F32 ? recipe->dtype : t->dtype;
        memcpy(e->shape, t->shape, sizeof e->shape);
        m.of[m.n++] = i;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    if (safetensors_write(fd, path, m.entries, m.n, give_made, &m, &error) < 0)
        fail_msg("%s", error.text);
    close(fd);
    safetensors_close(from);
}

static inline bool as_it_is(const char *name, char *ret, size_t size)
{
    snprintf(ret, size, "%s", name);
    return true;
}

/* A SpeechBrain release of the tiny network. */
static inline struct place make_release(const char *name)
{
    struct place dir = new_dir(name);
    copy_file(golden("checkpoints/pytorch_model.bin").path,
              in_dir(dir.path, "embedding_model.ckpt").path);
    copy_file(golden("checkpoints/classifier.ckpt").path, in_dir(dir.path, "classifier.ckpt").path);
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(dir.path, "label_encoder.txt").path);
    copy_file(golden("checkpoints/config.json").path, in_dir(dir.path, "config.json").path);
    return dir;
}

#endif
