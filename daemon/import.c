/* SPDX-License-Identifier: Apache-2.0
 * `focald import SRC DEST`: a model's directory out of what the world publishes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/modes.h"
#include "daemon/options.h"
#include "daemon/stop.h"
#include "model/import/import.h"
#include "model/import/newdir.h"

enum { LEFT_SHOWN = 5, MAX_IMAGE = 1024, MAX_HEADS = 256 };

static const struct option_spec specs[] = {
    {"dry-run", 'n', NULL, "only tell what would be mapped, missing and left over", NULL, NULL},
    {"force", 'f', NULL, "replace a model that is at DEST", NULL, NULL},
    {"labels", 'l', "FILE", "the classes' names, one a line, instead of the source's", NULL, NULL},
    {"antialias", 'a', "yes|no", "of the resize to the network's image (as the source has it)",
     NULL, NULL},
    {"image-size", 0, "N", "or ROWSxCOLUMNS: of a source without config.json", NULL, NULL},
    {"heads", 0, "N", "attention heads of a ViT without config.json (hidden size / 64)", NULL,
     NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald import [OPTION…] SRC DEST",
    .about =
        "Makes a model of a published checkpoint: FocalNet or ViT, with the classifier and the\n"
        "PIQ interpreter where the checkpoint has them. SRC is a Hugging Face directory\n"
        "(config.json with model.safetensors or pytorch_model.bin, whole or in shards), a\n"
        "SpeechBrain directory (embedding_model.ckpt, classifier.ckpt, label_encoder.txt,\n"
        "psi_model.ckpt), or one such file. DEST is a new directory with model.safetensors,\n"
        "config.json, labels.txt and preprocess.json, written whole or not at all.",
    .options = specs,
    .more =
        "PyTorch files are read as data, nothing in them is run. Storage stays as it came (F16,\n"
        "BF16, F32; F64 becomes F32). A backbone without a classifier of ours imports too, to be\n"
        "trained from. Antialiasing without preprocess.json and without the option: no for\n"
        "SpeechBrain's checkpoints (torchvision before 0.17 did not), yes for backbones.\n\n"
        "Exit status: 0, 1 when SRC does not fit (also with --dry-run), 2 for a wrong option.",
    .operands = true,
};

/* The command line */

static int mistake(const char *name, const char *value, const char *allowed)
{
    fprintf(stderr, "focald: --%s %s: allowed: %s\n", name, value, allowed);
    return -EINVAL;
}

/* "N" or "ROWSxCOLUMNS" */
static int parse_image_size(const char *text, struct geometry_options *ret)
{
    int rows, cols, used = 0;
    bool good = sscanf(text, "%dx%d%n", &rows, &cols, &used) == 2 && text[used] == '\0';
    if (!good) {
        good = sscanf(text, "%d%n", &rows, &used) == 1 && text[used] == '\0';
        cols = rows;
    }
    if (!good || rows < 1 || cols < 1 || rows > MAX_IMAGE || cols > MAX_IMAGE)
        return mistake("image-size", text, "1 to 1024, or ROWSxCOLUMNS");
    ret->image_rows = rows;
    ret->image_cols = cols;
    return 0;
}

static int parse(struct options *o, struct import_options *ret, int argc, char **argv)
{
    int r = options_parse(o, &usage, argc, argv);
    if (r != 0)
        return r;
    const char *antialias = options_value(o, "antialias");
    const char *image_size = options_value(o, "image-size");
    bool dry = options_value(o, "dry-run") != NULL;
    *ret = (struct import_options){.labels = options_value(o, "labels"), .antialias = -1};
    if (antialias != NULL && strcmp(antialias, "yes") != 0 && strcmp(antialias, "no") != 0)
        return mistake("antialias", antialias, "yes, no");
    if (antialias != NULL)
        ret->antialias = strcmp(antialias, "yes") == 0;
    if (image_size != NULL && parse_image_size(image_size, &ret->geometry) < 0)
        return -EINVAL;
    if (options_integer(o, "heads", 1, MAX_HEADS, &ret->geometry.heads) < 0)
        return -EINVAL;
    if (o->n_operands == 2 || (dry && o->n_operands == 1))
        return 0;
    fprintf(stderr, "focald: import takes a source and the new directory (%d given); see --help\n",
            o->n_operands);
    return -EINVAL;
}

/* Telling */

static void print_left(const struct import_plan *p)
{
    size_t shown = 0;
    if (p->n_left == 0)
        return;
    printf("left over:   %zu tensor%s: ", p->n_left, p->n_left == 1 ? "" : "s");
    for (size_t i = 0; i < checkpoint_count(p->checkpoint) && shown < LEFT_SHOWN; i++)
        if (p->rows[i].to == NULL)
            printf("%s%s", shown++ > 0 ? ", " : "", p->rows[i].from->name);
    printf("%s\n", p->n_left > shown ? ", …" : "");
}

static void print_antialias(const struct import_plan *p)
{
    const char *why = "";
    if (!p->preprocess_found && p->preprocess != NULL)
        why = p->antialias ? " (--antialias no: without)"
                           : " (as torchvision before 0.17; --antialias yes: for what was trained "
                             "with 0.17 or later)";
    printf("antialias:   %s%s\n", p->antialias ? "yes" : "no", why);
}

static const char *interpreter_of(const struct import_plan *p)
{
    return p->net.kind == NET_VIT ? "attention" : "modulation";
}

static void print_summary(const struct import_plan *p)
{
    int rows, cols;
    net_image_size(&p->net, &rows, &cols);
    printf("network:     %s, %.1f M parameters, images of %d x %d\n", net_name(p->net.kind),
           (double)p->parameters / 1e6, rows, cols);
    if (p->geometry_said[0] != '\0')
        printf("             %s\n", p->geometry_said);
    if (p->head)
        printf("classes:     %d, named by %s\n", net_head((struct net_config *)&p->net)->classes,
               p->labels_path[0] != '\0' ? p->labels_path : "nothing");
    else
        printf("classes:     none: no classifier that fits, a backbone to be trained from\n");
    printf("interpreter: %s%s\n", interpreter_of(p), p->net.piq.keys > 0 ? ", piq" : "");
    if (p->complete)
        print_antialias(p);
}

static void print_table(const struct import_plan *p)
{
    int width = 0;
    size_t n = p->rows != NULL ? checkpoint_count(p->checkpoint) : 0;
    for (size_t i = 0; i < n; i++) {
        int length = (int)strlen(p->rows[i].from->name);
        width = p->rows[i].to != NULL && length > width ? length : width;
    }
    for (size_t i = 0; i < n; i++) {
        const struct import_row *row = &p->rows[i];
        char shape[128];
        if (row->to == NULL)
            continue;
        safetensors_shape_text(row->from->rank, row->from->shape, shape, sizeof shape);
        printf("%-*s -> %s %s %s\n", width, row->from->name, row->to, dtype_name(row->dtype),
               shape);
    }
    for (size_t i = 0; i < p->n_missing; i++)
        printf("missing: %s\n", p->missing[i]);
    for (size_t i = 0; i < n; i++) {
        char shape[128];
        const struct checkpoint_tensor *t = p->rows[i].from;
        safetensors_shape_text(t->rank, t->shape, shape, sizeof shape);
        if (p->rows[i].to == NULL)
            printf("left over: %s %s %s\n", t->name, dtype_name(t->dtype), shape);
    }
}

/* The mode */

static int dry_run(const struct import_plan *p, struct error *error)
{
    print_table(p);
    print_summary(p);
    printf("\n%s\n", p->complete ? "It fits. Nothing was written (--dry-run)."
                                 : "It does not fit. Nothing was written (--dry-run).");
    if (!p->complete)
        *error = p->problem;
    return p->complete ? 0 : -EINVAL;
}

static int write_model(const struct import_plan *p, const struct options *o, struct error *error)
{
    struct newdir dir;
    int r = newdir_begin(&dir, o->operands[1], o->operands[0], options_value(o, "force") != NULL,
                         error);
    if (r < 0)
        return r;
    r = newdir_end(&dir, import_write(p, dir.temporary, &stop_signal, error), error);
    if (r < 0)
        return r;
    print_summary(p);
    print_left(p);
    printf("written to   %s\n", dir.path);
    if (p->head)
        printf("\nnext: focald classify --model %s clip.wav\n", dir.path);
    return 0;
}

int mode_import(int argc, char **argv)
{
    struct options options;
    struct import_options import;
    struct import_plan *plan = NULL;
    struct error error = {""};
    int r = parse(&options, &import, argc, argv);
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    stop_listen();
    r = import_plan_create(&plan, options.operands[0], &import, &error);
    if (r == 0 && options_value(&options, "dry-run") != NULL)
        r = dry_run(plan, &error);
    else if (r == 0 && !plan->complete)
        r = error_set(&error, EINVAL, "%s", plan->problem.text);
    else if (r == 0)
        r = write_model(plan, &options, &error);
    if (fflush(stdout) != 0 && r == 0)
        r = error_set(&error, errno, "cannot write what was done: %s", strerror(errno));
    if (r < 0)
        fprintf(stderr, "focald: %s\n", error.text);
    import_plan_destroy(plan);
    if (r == -EINTR)
        stop_obey();
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
