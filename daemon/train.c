/* SPDX-License-Identifier: Apache-2.0
 * focald train: a model of labelled clips. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/modes.h"
#include "daemon/options.h"
#include "daemon/spin.h"
#include "daemon/stop.h"
#include "daemon/train_config.h"
#include "daemon/train_mpi.h"
#include "daemon/train_run.h"

static const struct option_spec specs[] = {
    {"data", 'd', "DIR", "labelled clips: ESC-50's layout, or a folder a class; repeatable", NULL,
     NULL},
    {"train-folds", 0, "LIST", "of the --data before it, or of all: 1-3", NULL, NULL},
    {"valid-folds", 0, "LIST", "of the --data before it, or of all: 4", NULL, NULL},
    {"teacher", 0, "FILE", "what a larger network says of the --data before it", NULL, NULL},
    {"alias", 0, "A=B", "class A of a set is class B, as in bird=chirping_birds", NULL, NULL},
    {"labels", 0, "FILE", "only these classes, in this order (a labels.txt)", NULL, NULL},
    {"from", 0, "DIR", "begin with the weights of this model", NULL, NULL},
    {"recipe", 0, "NAME", "many keys at once: paper, piq, home", NULL, NULL},
    {"config", 'c', "FILE", "a training's configuration, after the recipe", NULL, NULL},
    {"set", 's', "KEY=VALUE", "one key of it, as in optimizer.rate=1e-3; repeatable", NULL, NULL},
    {"out", 'o', "DIR", "the run's directory, which is made", NULL, NULL},
    {"resume", 0, "DIR", "go on with the run in this directory", NULL, NULL},
    {"epochs", 'e', "N", "epochs", NULL, NULL},
    {"seed", 0, "N", "of everything that is drawn", NULL, NULL},
    {"backend", 0, "NAME", "auto, cpu or cuda", NULL, NULL},
    {"precision", 0, "NAME", "of the GPU: auto, float32, tf32, bfloat16, float16", NULL, NULL},
    {"threads", 't', "N", "of the network (all cores)", NULL, NULL},
    {"dry-run", 'n', NULL, "print the configuration that would be used, and end", NULL, NULL},
    {"quiet", 'Q', NULL, "no progress", NULL, NULL},
    {0},
};

static const struct option_usage usage = {
    .synopsis = "focald train [OPTION…] --data DIR --out DIR | --resume DIR",
    .about =
        "Trains a classifier on labelled clips, or, with --recipe piq, the interpreter PIQ beside\n"
        "one that is trained already. The run's directory holds best/ and last/, models\n"
        "that every mode takes by --model; a log, curves, and all that --resume needs to go on\n"
        "after the last whole epoch as if it had never stopped.",
    .options = specs,
    .more = "All keys are in focald-train(1).\n\n"
            "Exit status: 0, 1 for a failure, 2 for a wrong option.",
};

/* Options */

static int mistake(const struct error *error)
{
    if (train_mpi_tells())
        fprintf(stderr, "focald: %s\n", error->text);
    return -EINVAL;
}

/* --set SECTION.KEY=VALUE; a set's section is data NAME. */
static int set_key(struct train_config *config, const char *text, struct error *error)
{
    char section[80], key[80];
    const char *equal = strchr(text, '='), *dot = strchr(text, '.');
    if (equal == NULL || dot == NULL || dot > equal || dot - text >= (int)sizeof section ||
        equal - dot > (int)sizeof key)
        return error_set(error, EINVAL,
                         "--set %.100s: allowed: SECTION.KEY=VALUE, as in "
                         "optimizer.rate=1e-3",
                         text);
    snprintf(section, sizeof section, "%.*s", (int)(dot - text), text);
    snprintf(key, sizeof key, "%.*s", (int)(equal - dot - 1), dot + 1);
    return train_config_set(config, "--set", section, key, equal + 1, error);
}

/* Of the set named last, or, before the first, of all that follow. */
static int set_of_data(struct train_config *config, struct train_config_set *all, const char *name,
                       const char *value, struct error *error)
{
    struct train_config_set *set = config->n_sets > 0 ? &config->sets[config->n_sets - 1] : all;
    const bool teacher = strcmp(name, "teacher") == 0;
    char *to = teacher ? set->teacher : strcmp(name, "train-folds") == 0 ? set->train : set->valid;
    const size_t size = teacher ? sizeof set->teacher : sizeof set->train;
    if ((size_t)snprintf(to, size, "%s", value) >= size)
        return error_set(error, EINVAL, "--%s: longer than %zu bytes", name, size - 1);
    return 0;
}

static bool is_set(const struct train_config *config, const char *name)
{
    for (int i = 0; i < config->n_sets; i++)
        if (strcmp(config->sets[i].name, name) == 0)
            return true;
    return false;
}

/* By its number, or the next that no set of the file has. */
static int add_data(struct train_config *config, const struct train_config_set *all,
                    const char *dir, struct error *error)
{
    char name[16];
    if (config->n_sets == TRAIN_MAX_SETS)
        return error_set(error, EINVAL, "--data: more than %d sets", TRAIN_MAX_SETS);
    int number = config->n_sets + 1;
    do
        snprintf(name, sizeof name, "%d", number++);
    while (is_set(config, name));
    struct train_config_set *set = &config->sets[config->n_sets++];
    *set = *all;
    memcpy(set->name, name, sizeof name);
    if (strlen(dir) >= sizeof set->dir)
        return error_set(error, EINVAL, "--data: the path is too long");
    memcpy(set->dir, dir, strlen(dir) + 1);
    return 0;
}

static int add_alias(struct train_config *config, const char *alias, struct error *error)
{
    const size_t n = strlen(config->aliases);
    const int more =
        snprintf(config->aliases + n, sizeof config->aliases - n, "%s%s", n > 0 ? ", " : "", alias);
    if ((size_t)more >= sizeof config->aliases - n)
        return error_set(error, EINVAL, "--alias: too many");
    return 0;
}

static int apply(struct train_config *config, struct train_config_set *all, const char *name,
                 const char *value, struct error *error)
{
    static const struct {
        const char *option, *section, *key;
    } plain[] = {{"labels", "classes", "labels"}, {"from", "network", "from"},
                 {"epochs", "run", "epochs"},     {"seed", "run", "seed"},
                 {"backend", "run", "backend"},   {"precision", "run", "precision"},
                 {"threads", "run", "threads"}};
    char where[32];
    if (strcmp(name, "data") == 0)
        return add_data(config, all, value, error);
    if (strcmp(name, "train-folds") == 0 || strcmp(name, "valid-folds") == 0 ||
        strcmp(name, "teacher") == 0)
        return set_of_data(config, all, name, value, error);
    if (strcmp(name, "alias") == 0)
        return add_alias(config, value, error);
    if (strcmp(name, "set") == 0)
        return set_key(config, value, error);
    snprintf(where, sizeof where, "--%s", name);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(plain[i].option, name) == 0)
            return train_config_set(config, where, plain[i].section, plain[i].key, value, error);
    return 0;
}

/* Folds that nobody named: the paper trains on 1 to 3 and chooses on 4. */
static void fill_folds(struct train_config *config)
{
    for (int i = 0; i < config->n_sets; i++) {
        struct train_config_set *set = &config->sets[i];
        if (set->train[0] == '\0' && set->valid[0] == '\0') {
            snprintf(set->train, sizeof set->train, "1-3");
            snprintf(set->valid, sizeof set->valid, "4");
        }
    }
}

/* Recipe, then file, then options in the order given. */
static int read_config(struct train_config *config, const struct options *options,
                       struct error *error)
{
    struct train_config_set all = {.name = ""};
    const char *recipe = options_value(options, "recipe"), *file = options_value(options, "config"),
               *resume = options_value(options, "resume");
    char path[PATH_MAX];
    int r = 0;
    train_config_default(config);
    if (resume != NULL) {
        snprintf(path, sizeof path, "%.4000s/train.conf", resume);
        r = train_config_read(config, path, error);
        return r == -ENOENT ? error_set(error, ENOENT,
                                        "--resume %.200s: there is no train.conf in it; name the "
                                        "directory that a run was given by --out",
                                        resume)
                            : r;
    }
    if (recipe != NULL)
        r = train_config_recipe(config, recipe, error);
    if (r == 0 && file != NULL)
        r = train_config_read(config, file, error);
    for (int i = 0; i < options->n_given && r == 0; i++)
        r = apply(config, &all, options->given[i].spec->name, options->given[i].value, error);
    fill_folds(config);
    return r == 0 ? train_config_check(config, error) : r;
}

static int check_places(const struct options *options, struct error *error)
{
    const bool out = options_value(options, "out") != NULL;
    const bool resume = options_value(options, "resume") != NULL;
    static const char *const alone[] = {"resume", "quiet", "dry-run"};
    if (!out && !resume && options_value(options, "dry-run") == NULL)
        return error_set(error, EINVAL,
                         "train into what? Name a new directory with --out, or a "
                         "run's with --resume; see --help");
    for (int i = 0; i < options->n_given && resume; i++) {
        bool goes = false;
        for (size_t k = 0; k < sizeof alone / sizeof *alone; k++)
            goes = goes || strcmp(options->given[i].spec->name, alone[k]) == 0;
        if (!goes)
            return error_set(error, EINVAL,
                             "--resume goes on with the run's own configuration: it does not go "
                             "with --%s",
                             options->given[i].spec->name);
    }
    return 0;
}

/* Work */

static int print_config(const struct train_config *config)
{
    char *text = train_config_text(config);
    if (text == NULL)
        return -ENOMEM;
    fputs(text, stdout);
    free(text);
    return 0;
}

static int run(const struct options *options, const struct train_config *config, bool *ret_together,
               struct error *error)
{
    const char *resume = options_value(options, "resume"), *out = options_value(options, "out");
    struct train_run_config given = {.config = config,
                                     .dir = resume != NULL ? resume : out,
                                     .resume = resume != NULL,
                                     .quiet = options_value(options, "quiet") != NULL};
    int r = train_mpi_begin(&given.ranks, error);
    stop_listen();
    if (r == 0)
        r = train_run(&given, ret_together, error);
    return r;
}

int mode_train(int argc, char **argv)
{
    struct options options;
    struct error error = {""};
    spin_briefly(argc, argv);
    int r = options_parse(&options, &usage, argc, argv);
    if (r != 0)
        return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    struct train_config *config = malloc(sizeof *config);
    if (config == NULL) {
        fprintf(stderr, "focald: out of memory\n");
        return EXIT_FAILURE;
    }
    if (check_places(&options, &error) < 0 || read_config(config, &options, &error) < 0) {
        free(config);
        mistake(&error);
        return EXIT_USAGE;
    }
    bool together = false;
    r = options_value(&options, "dry-run") != NULL ? print_config(config)
                                                   : run(&options, config, &together, &error);
    free(config);
    if (r < 0 && error.text[0] != '\0')
        fprintf(stderr, "focald: %s\n", error.text);
    train_mpi_end(r < 0 && !together);
    if (r < 0)
        stop_obey();
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
