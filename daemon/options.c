/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/version.h"

enum { LONG_ONLY = 256 }; /* getopt's value of option i is LONG_ONLY + i */

static int mistake(const struct options *o, const char *format, const char *what)
{
    fprintf(stderr, "focald: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "; see --help\n");
    (void)o;
    return -EINVAL;
}

static void print_help(const struct option_usage *usage)
{
    printf("usage: %s\n\n%s\n\n", usage->synopsis, usage->about);
    for (const struct option_spec *s = usage->options; s->name != NULL; s++) {
        char left[64], letter[8] = "    ";
        if (s->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", s->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, s->name, s->argument != NULL ? " " : "",
                 s->argument != NULL ? s->argument : "");
        printf("  %-28s %s\n", left, s->help);
    }
    printf("  %-28s %s\n  %-28s %s\n", "    --help", "this text", "    --version", "the version");
    if (usage->more != NULL)
        printf("\n%s\n", usage->more);
}

static int take(struct options *o, const struct option_spec *s, const char *value)
{
    if (o->n_config == OPTIONS_MAX || o->n_given == OPTIONS_MAX)
        return mistake(o, "too many options at --%s", s->name);
    if (s->section != NULL)
        o->config[o->n_config++] = (struct config_option){
            s->section, s->key, s->argument != NULL ? value : "yes", s->name};
    else {
        o->given[o->n_given].spec = s;
        o->given[o->n_given++].value = value;
    }
    return 0;
}

/* getopt's tables out of ours. */
static int build_tables(const struct option_usage *usage, struct option *longs, char *letters)
{
    int n = 0;
    *letters++ = ':';
    for (const struct option_spec *s = usage->options; s->name != NULL; s++, n++) {
        longs[n] = (struct option){s->name, s->argument != NULL, NULL, LONG_ONLY + n};
        if (s->letter != 0) {
            *letters++ = s->letter;
            if (s->argument != NULL)
                *letters++ = ':';
        }
    }
    *letters = '\0';
    longs[n] = (struct option){"help", 0, NULL, LONG_ONLY + n};
    longs[n + 1] = (struct option){"version", 0, NULL, LONG_ONLY + n + 1};
    longs[n + 2] = (struct option){0};
    return n;
}

static const struct option_spec *spec_of(const struct option_usage *usage, int c)
{
    if (c >= LONG_ONLY)
        return &usage->options[c - LONG_ONLY];
    for (const struct option_spec *s = usage->options; s->name != NULL; s++)
        if (s->letter == c)
            return s;
    return NULL;
}

/* By optopt: a letter may stand among others, as in -pZ, and a long name may have been shortened.
 */
static int wrong_option(const struct options *o, const struct option *longs, bool no_value,
                        const char *argument)
{
    char name[64] = {'-', (char)optopt};
    if (optopt >= LONG_ONLY)
        snprintf(name, sizeof name, "--%s", longs[optopt - LONG_ONLY].name);
    if (no_value)
        return mistake(o, "the option %s needs a value", name);
    if (optopt >= LONG_ONLY)
        return mistake(o, "the option %s takes no value", name);
    return mistake(o, "unknown option %s", optopt != 0 ? name : argument);
}

int options_parse(struct options *ret, const struct option_usage *usage, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 3];
    char letters[2 * OPTIONS_MAX + 2];
    *ret = (struct options){.usage = usage};
    const int n = build_tables(usage, longs, letters);
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        if (c == '?' || c == ':')
            return wrong_option(ret, longs, c == ':', argv[optind - 1]);
        if (c == LONG_ONLY + n) {
            print_help(usage);
            return 1;
        }
        if (c == LONG_ONLY + n + 1) {
            printf("focald %s\n", FOCALD_VERSION);
            return 1;
        }
        int r = take(ret, spec_of(usage, c), optarg);
        if (r < 0)
            return r;
    }
    ret->operands = argv + optind;
    ret->n_operands = argc - optind;
    if (ret->n_operands > 0 && !usage->operands)
        return mistake(ret, "unexpected argument %s", argv[optind]);
    return 0;
}

const char *options_value(const struct options *o, const char *name)
{
    for (int i = o->n_given - 1; i >= 0; i--)
        if (strcmp(o->given[i].spec->name, name) == 0)
            return o->given[i].value != NULL ? o->given[i].value : "";
    return NULL;
}

int options_number(const struct options *o, const char *name, double from, double to, double *ret)
{
    const char *text = options_value(o, name);
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= from && value <= to)) {
        fprintf(stderr, "focald: --%s %s: allowed: %g to %g\n", name, text, from, to);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

int options_integer(const struct options *o, const char *name, int from, int to, int *ret)
{
    double value = *ret;
    int r = options_number(o, name, from, to, &value);
    if (r == 0 && value != (int)value) {
        fprintf(stderr, "focald: --%s %s: not a whole number\n", name, options_value(o, name));
        return -EINVAL;
    }
    if (r == 0)
        *ret = (int)value;
    return r;
}
