/* SPDX-License-Identifier: Apache-2.0
 * focald MODE …: one program, several modes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/modes.h"
#include "daemon/version.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} modes[] = {
    {"run", mode_run, "listen live, name the sound, publish over ZeroMQ"},
    {"classify", mode_classify, "name the sound of audio files"},
    {"train", mode_train, "learn a model from labelled clips"},
    {"import", mode_import, "make a model of a published checkpoint"},
    {"export", mode_export, "write a model in Hugging Face's layout"},
    {"eval", mode_eval, "measure a model on labelled clips, and how well its maps explain it"},
    {"reject", mode_reject, "choose below what a sound is unknown, and tell what that leaves"},
    {"bench", mode_bench, "measure this machine: network, pipeline, latency"},
};

static void print_help(FILE *to)
{
    fprintf(to,
            "usage: focald MODE [OPTION…]\n\n"
            "focald listens to audio, names what it hears, and shows and plays back which part\n"
            "of the sound made it say so.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        fprintf(to, "  %-10s %s\n", modes[i].name, modes[i].help);
    fprintf(to,
            "\n`focald MODE --help` tells a mode's options; focalctl talks to a running focald.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? EXIT_SUCCESS : EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("focald %s\n", FOCALD_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(name, modes[i].name) == 0)
            return modes[i].run(argc - 1, argv + 1);
    fprintf(stderr, "focald: unknown mode %s; allowed: ", name);
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        fprintf(stderr, "%s%s", modes[i].name, i + 1 < ARRAY_LEN(modes) ? ", " : "; see --help\n");
    return EXIT_USAGE;
}
