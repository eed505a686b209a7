/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/term/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/keys.h"

static const char usage[] =
    "usage: focal-term [OPTION...]\n"
    "\n"
    "Shows on a terminal what focald hears: spectrogram, what the network listened to, labels,\n"
    "events, health. Keys: q quits, m overlays map or mask, + and - zoom, space holds, Tab and\n"
    "1 ... 9 change the stream.\n"
    "\n"
    "  -s, --stream NAME      begin with this stream (the first)\n"
    "      --seconds SECONDS  across the picture, 2 to 90 (10)\n"
    "      --overlay WHAT     off, map or mask (map)\n"
    "      --colors WHICH     auto, true, 256, 8 or none (auto)\n"
    "      --ascii            no characters beyond ASCII\n"
    "      --once             print the next label and end; for scripts\n"
    "  -j, --json             with --once: the whole label message as one line of JSON\n"
    "  -t, --timeout SECONDS  with --once: wait that long at most (10)\n"
    "  -n, --name NAME        the daemon's ipc name (focald)\n"
    "      --data ENDPOINT    where it publishes, e.g. tcp://HOST:PORT\n"
    "      --server-key FILE  the daemon's public key, for TCP with CURVE\n"
    "      --key FILE         this client's secret key\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n";

enum {
    OPTION_SECONDS = 256,
    OPTION_OVERLAY,
    OPTION_COLORS,
    OPTION_ASCII,
    OPTION_ONCE,
    OPTION_DATA,
    OPTION_SERVER_KEY,
    OPTION_KEY
};

static const struct option long_options[] = {
    {"stream", required_argument, NULL, 's'},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"overlay", required_argument, NULL, OPTION_OVERLAY},
    {"colors", required_argument, NULL, OPTION_COLORS},
    {"ascii", no_argument, NULL, OPTION_ASCII},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"json", no_argument, NULL, 'j'},
    {"timeout", required_argument, NULL, 't'},
    {"name", required_argument, NULL, 'n'},
    {"data", required_argument, NULL, OPTION_DATA},
    {"server-key", required_argument, NULL, OPTION_SERVER_KEY},
    {"key", required_argument, NULL, OPTION_KEY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int bad_usage(const char *what, const char *why)
{
    fprintf(stderr, "focal-term: %s: %s; focal-term --help lists what there is\n", what, why);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, double least, double most, double *ret)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        return false;
    *ret = value;
    return true;
}

/* The place of text in a list that ends in NULL, -1 if it is not there. */
static int find_word(const char *const *words, const char *text)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

/* One option whose value must be checked. Returns -1 or the exit status. */
static int take_checked(struct options *o, int option)
{
    static const char *const overlays[] = {"off", "map", "mask", NULL};
    static const char *const colours[] = {"none", "8", "256", "true", "auto", NULL};
    int i = 0;
    switch (option) {
    case OPTION_SECONDS:
        return parse_number(optarg, 2, 90, &o->seconds) ? -1
                                                        : bad_usage("--seconds", "must be 2 to 90");
    case 't':
        return parse_number(optarg, 0.001, 86400, &o->timeout_s)
                   ? -1
                   : bad_usage("--timeout", "must be 0.001 to 86400 seconds");
    case OPTION_OVERLAY:
        i = find_word(overlays, optarg);
        o->overlay = i >= 0 ? (enum overlay)i : o->overlay;
        return i >= 0 ? -1 : bad_usage("--overlay", "must be off, map or mask");
    default:
        i = find_word(colours, optarg);
        o->colours = i >= PALETTE_TRUE ? PALETTE_TRUE : (enum palette_kind)(i >= 0 ? i : 0);
        return i >= 0 ? -1 : bad_usage("--colors", "must be auto, true, 256, 8 or none");
    }
}

static int take_option(struct options *o, int option, char **argv)
{
    switch (option) {
    case 's':
        o->stream = optarg;
        return -1;
    case 'n':
        o->name = optarg;
        return -1;
    case 'j':
        o->json = true;
        return -1;
    case OPTION_ASCII:
        o->ascii = true;
        return -1;
    case OPTION_ONCE:
        o->once = true;
        return -1;
    case OPTION_DATA:
        o->data = optarg;
        return -1;
    case OPTION_SERVER_KEY:
        o->server_key_file = optarg;
        return -1;
    case OPTION_KEY:
        o->key_file = optarg;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    case 'V':
        printf("focal-term %s\n", FOCALD_VERSION);
        return EXIT_SUCCESS;
    case ':':
        return bad_usage(argv[optind - 1], "needs a value");
    case '?':
        return bad_usage(argv[optind - 1], "no such option");
    default:
        return take_checked(o, option);
    }
}

int options_parse(struct options *o, int argc, char **argv)
{
    int option;
    *o = (struct options){
        .timeout_s = 10, .colours = PALETTE_TRUE, .overlay = OVERLAY_MAP, .seconds = 10};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":s:n:jt:hV", long_options, NULL)) != -1) {
        int status = take_option(o, option, argv);
        if (status >= 0)
            return status;
    }
    if (optind < argc)
        return bad_usage(argv[optind], "is one word too many");
    if (o->json && !o->once)
        return bad_usage("--json", "goes with --once");
    if (o->stream != NULL && (o->stream[0] == '\0' || strlen(o->stream) > 63))
        return bad_usage("--stream", "must be 1 to 63 characters");
    if (o->name != NULL && (o->name[0] == '\0' || strchr(o->name, '/') != NULL))
        return bad_usage("--name", "must be a name without /");
    return -1;
}

int options_connect(const struct options *o, struct focal **ret, char *why, size_t why_size)
{
    char server[KEY_TEXT_BYTES], secret[KEY_TEXT_BYTES], public[KEY_TEXT_BYTES];
    struct focal_options options = {.data = o->data, .name = o->name};
    struct error error = {""};
    int code = 0;
    if (o->server_key_file != NULL) {
        code = key_read_public(o->server_key_file, server, &error);
        options.curve_server_public_key = server;
    }
    if (code == 0 && o->key_file != NULL) {
        code = key_read_secret(o->key_file, secret, public, &error);
        options.curve_secret_key = secret;
    }
    if (code == 0) {
        code = focal_open(ret, &options);
        if (code < 0)
            snprintf(error.text, sizeof error.text, "%s", focal_last_error());
    }
    explicit_bzero(secret, sizeof secret);
    if (code < 0)
        snprintf(why, why_size, "%s", error.text);
    return code;
}
