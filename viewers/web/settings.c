/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/web/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/inifile.h"
#include "viewers/web/settings_check.h"

enum kind { TEXT, YES_NO, NUMBER };

struct key {
    const char *section, *name, *option; /* option: of the command line, "" when it has none */
    enum kind kind;
    size_t offset;
    int from, to;
    const char *otherwise, *help;
};

#define AT(field) offsetof(struct settings, field)

static const struct key keys[] = {
    {"web", "listen", "listen", TEXT, AT(listen), 0, 0, "127.0.0.1:8080",
     "ADDRESS:PORT to serve at (127.0.0.1:8080)"},
    {"web", "certificate", "certificate", TEXT, AT(certificate), 0, 0, "",
     "PEM file of the TLS certificate and its chain"},
    {"web", "private_key", "private-key", TEXT, AT(private_key), 0, 0, "",
     "PEM file of its private key"},
    {"web", "password_file", "password-file", TEXT, AT(password_file), 0, 0, "",
     "file that --set-password wrote; pages ask for the password"},
    {"web", "trusted_proxy", "trusted-proxy", TEXT, AT(trusted_proxy), 0, 0, "",
     "addresses of reverse proxies that do TLS and passwords"},
    {"web", "origins", "origins", TEXT, AT(origins), 0, 0, "",
     "other addresses that pages may have, as in https://home.example"},
    {"web", "knobs", "knobs", YES_NO, AT(knobs), 0, 0, "yes",
     "yes or no: pages may change focald's live parameters (yes)"},
    {"web", "max_viewers", "", NUMBER, AT(max_viewers), 1, 1000, "64", ""},
    {"web", "max_connections", "", NUMBER, AT(max_connections), 1, 10000, "256", ""},
    {"web", "max_connections_each", "", NUMBER, AT(max_connections_each), 1, 10000, "64", ""},
    {"history", "dir", "history", TEXT, AT(history), 0, 0, "",
     "directory of focal-record's history, or none"},
    {"focald", "name", "name", TEXT, AT(name), 0, 0, "", "the daemon's ipc name (focald)"},
    {"focald", "data", "data", TEXT, AT(data), 0, 0, "", "endpoint where focald publishes"},
    {"focald", "control", "control", TEXT, AT(control), 0, 0, "",
     "endpoint where it takes requests"},
    {"focald", "server_key", "server-key", TEXT, AT(server_key), 0, 0, "",
     "file of the daemon's public key, for TCP with CURVE"},
    {"focald", "key", "key", TEXT, AT(client_key), 0, 0, "", "file of this client's secret key"},
};

enum { KEYS = sizeof keys / sizeof keys[0], OPTION_KEY = 256 };

const char *settings_key(int i, const char **ret_section, int *ret_from, int *ret_to)
{
    if (i >= KEYS)
        return NULL;
    *ret_section = keys[i].section;
    *ret_from = keys[i].from;
    *ret_to = keys[i].to;
    return keys[i].name;
}

static int set_yes_no(bool *field, const char *value)
{
    bool yes = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 || strcmp(value, "on") == 0;
    bool no = strcmp(value, "no") == 0 || strcmp(value, "false") == 0 || strcmp(value, "off") == 0;
    *field = yes;
    return yes || no ? 0 : -EINVAL;
}

/* where: the file and line, or the option, for the error. */
static int set(struct settings *s, const struct key *k, const char *value, const char *where,
               struct error *error)
{
    void *field = (char *)s + k->offset;
    char *end;
    long number;
    switch (k->kind) {
    case TEXT:
        if (strlen(value) >= SETTING_BYTES)
            return error_set(error, EINVAL, "%s: %s is longer than %d bytes", where, k->name,
                             SETTING_BYTES - 1);
        strcpy(field, value);
        return 0;
    case YES_NO:
        if (set_yes_no(field, value) == 0)
            return 0;
        return error_set(error, EINVAL, "%s: %s = %s: must be yes or no", where, k->name, value);
    case NUMBER:
        errno = 0;
        number = strtol(value, &end, 10);
        if (end != value && *end == '\0' && errno == 0 && number >= k->from && number <= k->to) {
            *(int *)field = (int)number;
            return 0;
        }
        return error_set(error, EINVAL, "%s: %s = %s: must be a whole number from %d to %d", where,
                         k->name, value, k->from, k->to);
    }
    return 0;
}

static int take_key(void *user, const char *where, const char *section, const char *name,
                    const char *value, struct error *error)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
            return set(user, &keys[i], value, where, error);
    return error_set(error, EINVAL, "%s: there is no key \"%s\" in [%s]; see focal-web(1)", where,
                     name, section);
}

static void print_help(void)
{
    printf("usage: focal-web [OPTION...]\n\n"
           "Shows what focald hears, and what focal-record kept of it, to browsers.\n\n");
    printf("      --%-24s %s\n", "config FILE", "read this instead of the usual files");
    for (int i = 0; i < KEYS; i++)
        if (keys[i].option[0] != '\0')
            printf("      --%-24s %s\n", keys[i].option, keys[i].help);
    printf("      --%-24s %s\n      --%-24s %s\n  -h, --%-24s %s\n  -V, --%-24s %s\n",
           "set-password FILE", "read a password from standard input, write its hash to FILE",
           "check", "tell whether the settings are good, and end", "help", "print this", "version",
           "print the version");
}

static int take_option(struct settings *s, enum settings_action *action, int option,
                       struct error *error)
{
    char where[64];
    switch (option) {
    case 'c': /* was read before */
        return 0;
    case 'h':
        print_help();
        *action = ACTION_END;
        return 0;
    case 'V':
        printf("focal-web %s\n", FOCALD_VERSION);
        *action = ACTION_END;
        return 0;
    case 'C':
        *action = ACTION_CHECK;
        return 0;
    case 'P':
        *action = ACTION_SET_PASSWORD;
        snprintf(where, sizeof where, "--set-password");
        return set(s, &keys[3], optarg, where, error);
    default:
        snprintf(where, sizeof where, "--%s", keys[option - OPTION_KEY].option);
        return set(s, &keys[option - OPTION_KEY], optarg, where, error);
    }
}

/* The command line is walked twice: for --config, and for what stands above the files. */
static int walk_options(struct settings *s, enum settings_action *action, const char **config,
                        int argc, char **argv, struct error *error)
{
    struct option longs[KEYS + 6] = {{"config", required_argument, NULL, 'c'},
                                     {"set-password", required_argument, NULL, 'P'},
                                     {"check", no_argument, NULL, 'C'},
                                     {"help", no_argument, NULL, 'h'},
                                     {"version", no_argument, NULL, 'V'}};
    int n = 5, option;
    for (int i = 0; i < KEYS; i++)
        if (keys[i].option[0] != '\0')
            longs[n++] = (struct option){keys[i].option, required_argument, NULL, OPTION_KEY + i};
    optind = 1;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
        if (option == '?')
            return error_set(error, EINVAL, "%s: no such option; see --help", argv[optind - 1]);
        if (option == ':')
            return error_set(error, EINVAL, "%s: needs a value", argv[optind - 1]);
        if (option == 'c')
            *config = optarg;
        int code = s != NULL ? take_option(s, action, option, error) : 0;
        if (code != 0 || (s != NULL && *action == ACTION_END))
            return code;
    }
    if (optind < argc)
        return error_set(error, EINVAL, "unexpected argument %s; see --help", argv[optind]);
    return 0;
}

int settings_read(struct settings *ret, enum settings_action *ret_action, int argc, char **argv,
                  struct error *error)
{
    const char *config = NULL;
    memset(ret, 0, sizeof *ret);
    *ret_action = ACTION_SERVE;
    for (int i = 0; i < KEYS; i++)
        if (set(ret, &keys[i], keys[i].otherwise, "default", error) != 0)
            return -EINVAL;
    int code = walk_options(NULL, ret_action, &config, argc, argv, error);
    if (code == 0)
        code = inifile_read_usual("focal-web.conf", config, take_key, ret, error);
    if (code == 0)
        code = walk_options(ret, ret_action, &config, argc, argv, error);
    if (code == 0 && (*ret_action == ACTION_SERVE || *ret_action == ACTION_CHECK))
        code = settings_check(ret, error);
    return code;
}
