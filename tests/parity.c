/* SPDX-License-Identifier: Apache-2.0
 * parity [--backend NAME] [--precision NAME] [--depthwise NAME] FILE…: checks files in golden/'s
 * formats. Prints each tensor's largest error beside its limit. Exit status: 0 all within, 1 one
 * beyond or a file that cannot be used. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/backends.h"
#include "tests/dsp/golden_dsp.h"
#include "tests/model/golden.h"

struct check {
    const struct safetensors *file;
    bool all; /* within their limits */
};

static void print_line(void *user, const struct golden_line *line)
{
    struct check *c = user;
    c->all = c->all && line->within;
    printf("  %-34s %12.3g  limit %-10.3g %s%s%s\n", line->tensor, line->error, line->limit,
           line->within ? "ok" : "BEYOND", line->what[0] != '\0' ? ", " : "", line->what);
}

static void print_dsp(void *user, const char *tensor, double error, double limit)
{
    print_line(user, &(struct golden_line){tensor, error, limit, error <= limit, ""});
}

static const void *dsp_tensor(void *user, const char *name, size_t *ret_bytes)
{
    const struct check *c = user;
    const struct safetensors_tensor *t = safetensors_find(c->file, name);
    if (t == NULL)
        return NULL;
    *ret_bytes = t->cells * dtype_size(t->dtype);
    return t->data;
}

/* The clips that the file was made of lie in clips/ beside it. */
static void check_dsp(const char *path, struct check *c)
{
    const char *slash = strrchr(path, '/');
    char clips[4096];
    snprintf(clips, sizeof clips, "%.*sclips", slash != NULL ? (int)(slash - path) + 1 : 0, path);
    bool there = access(clips, R_OK) == 0;
    if (!there)
        printf("  skipped: resampling, since there is no %s\n", clips);
    c->all = golden_dsp_check(dsp_tensor, c, there ? clips : NULL, print_dsp) == 0 && c->all;
}

static int check(const char *path, const struct golden_backend *backend)
{
    struct safetensors *file;
    struct error error;
    struct check c = {NULL, true};
    if (safetensors_open(&file, path, &error) < 0) {
        fprintf(stderr, "parity: %s\n", error.text);
        return 1;
    }
    c.file = file;
    enum golden_kind kind = golden_kind_of(file);
    printf("%s: %s\n", path, golden_kind_name(kind));
    int code = 0;
    switch (kind) {
    case GOLDEN_DSP:
        check_dsp(path, &c);
        break;
    case GOLDEN_FOCALNET:
        code = golden_focalnet(file, backend, print_line, &c, &error);
        break;
    case GOLDEN_VIT:
        code = golden_vit(file, backend, print_line, &c, &error);
        break;
    case GOLDEN_PIQ:
        code = golden_piq(file, backend, print_line, &c, &error);
        break;
    case GOLDEN_TRAIN_STEPS:
        code = golden_train(file, backend, print_line, &c, &error);
        break;
    case GOLDEN_UNKNOWN:
        code = error_set(&error, EINVAL,
                         "%s: not a golden file of a kind known here: dsp, focalnet, "
                         "vit, piq, train_steps",
                         path);
        break;
    }
    if (code < 0)
        fprintf(stderr, "parity: %s\n", error.text);
    safetensors_close(file);
    return code < 0 || !c.all;
}

/* argv[*i] is this option: its value, or NULL. */
static const char *option(int argc, char **argv, int *i, const char *name)
{
    if (*i + 1 >= argc || strcmp(argv[*i], name) != 0)
        return NULL;
    *i += 2;
    return argv[*i - 1];
}

int main(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct golden_backend backend = {.threads = cores > 0 ? (int)cores : 1};
    const char *name = "cpu", *precision = "float32", *depthwise = "kernels", *value;
    struct error error;
    int i = 1, status = 0;
    for (;;) {
        if ((value = option(argc, argv, &i, "--backend")) != NULL)
            name = value;
        else if ((value = option(argc, argv, &i, "--precision")) != NULL)
            precision = value;
        else if ((value = option(argc, argv, &i, "--depthwise")) != NULL)
            depthwise = value;
        else
            break;
    }
    if (i >= argc || argv[i][0] == '-') {
        fprintf(stderr, "usage: parity [--backend cpu|ref|cuda] [--precision NAME] "
                        "[--depthwise auto|cudnn|kernels] FILE…\n");
        return 1;
    }
    if (backend_find(name, &backend.ops, &error) < 0 ||
        precision_parse(precision, &backend.precision, &error) < 0 ||
        depthwise_parse(depthwise, &backend.depthwise, &error) < 0) {
        fprintf(stderr, "parity: %s\n", error.text);
        return 1;
    }
    while (i < argc)
        status |= check(argv[i++], &backend);
    return status;
}
