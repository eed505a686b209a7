/* SPDX-License-Identifier: Apache-2.0
 * `focald export MODEL DEST`: a model's directory in Hugging Face's layout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/modes.h"
#include "daemon/options.h"
#include "daemon/stop.h"
#include "model/import/export.h"
#include "model/import/newdir.h"

static const struct option_spec specs[] = {
    {"force", 'f', NULL, "replace a model that is at DEST", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald export [OPTION…] MODEL DEST",
    .about =
        "Writes a model in Hugging Face's layout: config.json with the labels as id2label and\n"
        "label2id, and model.safetensors with Hugging Face's names. The classifier's and PIQ's\n"
        "tensors go along in it, labels.txt and preprocess.json beside it: `focald import` of\n"
        "DEST gives the model's files again. DEST is written whole or not at all.",
    .options = specs,
    .more = "Exit status: 0, 1 for a failure, 2 for a wrong option.",
    .operands = true,
};

static int write_published(const struct import_plan *p, const struct options *o,
                           struct error *error)
{
    struct newdir dir;
    int r = newdir_begin(&dir, o->operands[1], o->operands[0], options_value(o, "force") != NULL,
                         error);
    if (r < 0)
        return r;
    r = newdir_end(&dir, export_write(p, dir.temporary, &stop_signal, error), error);
    if (r == 0)
        printf("%s with %zu tensors written to %s\n", net_name(p->net.kind),
               checkpoint_count(p->checkpoint), dir.path);
    return r;
}

int mode_export(int argc, char **argv)
{
    struct options options;
    struct import_plan *plan = NULL;
    struct import_options as_it_is = {.antialias = -1};
    struct error error = {""};
    int r = options_parse(&options, &usage, argc, argv);
    if (r == 0 && options.n_operands != 2) {
        fprintf(stderr,
                "focald: export takes a model and the new directory (%d given); see --help\n",
                options.n_operands);
        r = -EINVAL;
    }
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    stop_listen();
    r = import_plan_create(&plan, options.operands[0], &as_it_is, &error);
    if (r == 0)
        r = export_check(plan, &error);
    if (r == 0)
        r = write_published(plan, &options, &error);
    if (fflush(stdout) != 0 && r == 0)
        r = error_set(&error, errno, "cannot write what was done: %s", strerror(errno));
    if (r < 0)
        fprintf(stderr, "focald: %s\n", error.text);
    import_plan_destroy(plan);
    if (r == -EINTR)
        stop_obey();
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
