/* SPDX-License-Identifier: Apache-2.0
 * focal-record: keeps what focald hears, and finds it again. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "viewers/record/build.h"
#include "viewers/record/commands.h"
#include "viewers/record/times.h"

static const char usage[] =
    "usage: focal-record [OPTION...] COMMAND\n"
    "\n"
    "  run             record until it is ended\n"
    "  query           list what was heard\n"
    "  show ID         everything about one snippet\n"
    "  play ID         listen to it\n"
    "  export FILE     a zip with clips, pictures and a table\n"
    "  stats           how often what was heard, by hour\n"
    "  verify          compare the database and the files\n"
    "  favourite ID... keep for ever\n"
    "  note ID TEXT    write something to it; \"\" removes it\n"
    "  delete ID...    delete for ever\n"
    "\n"
    "  -l, --label LABEL     of this label only\n"
    "  -s, --stream STREAM   of this stream only\n"
    "      --text TEXT       with TEXT in the label or the note\n"
    "      --since TIME      2026-11-28, \"2026-11-28 14:22\", 14:22, yesterday, \"2 h\" (ago)\n"
    "      --until TIME\n"
    "  -p, --min-p P         at least so probable, 0 to 1\n"
    "      --favourites      favourites only\n"
    "      --kind KIND       event or continuous\n"
    "  -n, --limit N         so many, the newest (query: 50; 0: all)\n"
    "  -j, --json            print JSON, one object a line\n"
    "      --csv             print comma-separated values\n"
    "      --png FILE        stats: draw them\n"
    "      --audacity FILE   export: write a label track instead of a zip\n"
    "      --origin TIME     export: where the label track's zero is\n"
    "      --interpretation  play: what the mask keeps, instead of what was heard\n"
    "      --player COMMAND  play: with this program\n"
    "      --off             favourite: no longer\n"
    "  -d, --dir DIR         of the history\n"
    "  -c, --config FILE     instead of the standard files\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

struct command {
    const char *name;
    int (*run)(const struct arguments *arguments);
    int least, most;     /* words; -1: any number */
    const char *options; /* letters that it takes besides d and c */
};

/* Options' letters; those without one of their own are capital. */
static const struct command commands[] = {
    {"run", command_run, 0, 0, ""},
    {"query", command_query, 0, 0, "lsTSUpFKnjC"},
    {"show", command_show, 1, 1, "j"},
    {"play", command_play, 1, 1, "IL"},
    {"export", command_export, 0, 1, "lsTSUpFKnAO"},
    {"stats", command_stats, 0, 0, "lsSUjCG"},
    {"verify", command_verify, 0, 0, ""},
    {"favourite", command_favourite, 1, -1, "N"},
    {"note", command_note, 2, 2, ""},
    {"delete", command_delete, 1, -1, ""},
};

static const struct option options[] = {
    {"label", required_argument, NULL, 'l'},
    {"stream", required_argument, NULL, 's'},
    {"text", required_argument, NULL, 'T'},
    {"since", required_argument, NULL, 'S'},
    {"until", required_argument, NULL, 'U'},
    {"min-p", required_argument, NULL, 'p'},
    {"favourites", no_argument, NULL, 'F'},
    {"kind", required_argument, NULL, 'K'},
    {"limit", required_argument, NULL, 'n'},
    {"json", no_argument, NULL, 'j'},
    {"csv", no_argument, NULL, 'C'},
    {"png", required_argument, NULL, 'G'},
    {"audacity", required_argument, NULL, 'A'},
    {"origin", required_argument, NULL, 'O'},
    {"interpretation", no_argument, NULL, 'I'},
    {"player", required_argument, NULL, 'L'},
    {"off", no_argument, NULL, 'N'},
    {"dir", required_argument, NULL, 'd'},
    {"config", required_argument, NULL, 'c'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

int complain(const struct error *error)
{
    fprintf(stderr, "focal-record: %s\n", error->text);
    return EXIT_FAILURE;
}

bool read_id(const char *word, int64_t *ret)
{
    char *end;
    errno = 0;
    long long id = strtoll(word, &end, 10);
    if (end == word || *end != '\0' || errno != 0 || id < 1) {
        fprintf(stderr,
                "focal-record: \"%s\" is no snippet's number; focal-record query lists them\n",
                word);
        return false;
    }
    *ret = id;
    return true;
}

static int bad(const char *format, const char *what)
{
    fputs("focal-record: ", stderr);
    fprintf(stderr, format, what);
    fputs("; focal-record --help lists what there is\n", stderr);
    return EXIT_USAGE;
}

static int take_time(const char *name, const char *text, int64_t *ret)
{
    if (time_parse(text, time_now_ns(), ret))
        return -1;
    fprintf(stderr,
            "focal-record: %s %s: no time; such as 2026-11-28, \"2026-11-28 14:22\", yesterday or "
            "\"2 h\"\n",
            name, text);
    return EXIT_USAGE;
}

static int take_number(const char *name, const char *text, double from, double to, double *ret)
{
    char *end;
    *ret = strtod(text, &end);
    if (end != text && *end == '\0' && *ret >= from && *ret <= to)
        return -1;
    fprintf(stderr, "focal-record: %s %s: must be from %g to %g\n", name, text, from, to);
    return EXIT_USAGE;
}

/* Returns -1 to go on, or the exit status. */
static int take_filter(struct arguments *a, int letter, const char *value)
{
    struct history_filter *f = &a->filter;
    double number;
    int status = -1;
    switch (letter) {
    case 'l':
        f->label = value;
        return -1;
    case 's':
        f->stream = value;
        return -1;
    case 'T':
        f->text = value;
        return -1;
    case 'S':
        return take_time("--since", value, &f->from_ns);
    case 'U':
        return take_time("--until", value, &f->to_ns);
    case 'p':
        return take_number("--min-p", value, 0, 1, &f->p_min);
    case 'F':
        f->favourites = true;
        return -1;
    case 'K':
        f->kind = strcmp(value, "event") == 0        ? HISTORY_EVENT
                  : strcmp(value, "continuous") == 0 ? HISTORY_CONTINUOUS
                                                     : HISTORY_ANY;
        return f->kind != HISTORY_ANY ? -1 : bad("--kind %s: must be event or continuous", value);
    case 'n':
        status = take_number("--limit", value, 0, 1e9, &number);
        f->limit = (int)number;
        a->all = number == 0;
        return status;
    default:
        return -1;
    }
}

static int take_option(struct arguments *a, int letter, const char *value)
{
    switch (letter) {
    case 'j':
        a->format = FORMAT_JSON;
        return -1;
    case 'C':
        a->format = FORMAT_CSV;
        return -1;
    case 'G':
        a->png = value;
        return -1;
    case 'A':
        a->audacity = value;
        return -1;
    case 'O':
        return take_time("--origin", value, &a->origin_ns);
    case 'I':
        a->interpretation = true;
        return -1;
    case 'L':
        a->player = value;
        return -1;
    case 'N':
        a->off = true;
        return -1;
    case 'c':
        a->config = value;
        return -1;
    case 'd':
        if ((size_t)snprintf(a->dir, sizeof a->dir, "%s", value) >= sizeof a->dir)
            return bad("--dir %s: the path is too long", value);
        return -1;
    case 'h':
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    case 'V':
        printf("focal-record %s\n", FOCALD_VERSION);
        return EXIT_SUCCESS;
    default:
        return take_filter(a, letter, value);
    }
}

/* Letters given, so that the command can refuse what it does not take. */
static int parse(struct arguments *a, int argc, char **argv, char *given, size_t size)
{
    int letter, status = -1;
    size_t n = 0;
    opterr = 0;
    while (status < 0 &&
           (letter = getopt_long(argc, argv, ":l:s:p:n:jd:c:hV", options, NULL)) != -1) {
        if (letter == ':')
            return bad("%s: needs a value", argv[optind - 1]);
        if (letter == '?')
            return bad("%s: no such option", argv[optind - 1]);
        if (n + 1 < size && strchr("dc", letter) == NULL)
            given[n++] = (char)letter;
        status = take_option(a, letter, optarg);
    }
    given[n] = '\0';
    a->words = argv + optind;
    a->n_words = argc - optind;
    return status;
}

static const char *name_of_letter(char letter)
{
    for (size_t i = 0; options[i].name != NULL; i++)
        if (options[i].val == letter)
            return options[i].name;
    return "?";
}

static int check(const struct command *c, const struct arguments *a, const char *given)
{
    for (const char *at = given; *at != '\0'; at++)
        if (strchr(c->options, *at) == NULL) {
            fprintf(
                stderr,
                "focal-record: %s does not take --%s; focal-record --help lists what there is\n",
                c->name, name_of_letter(*at));
            return EXIT_USAGE;
        }
    if (a->n_words < c->least)
        return bad("%s: needs a word more", c->name);
    if (c->most >= 0 && a->n_words > c->most)
        return bad("%s: one word too many", a->words[c->most]);
    return -1;
}

static int load(struct arguments *a)
{
    struct error error;
    int code = settings_load(&a->settings, a->config, &error);
    if (code == 0 && a->dir[0] == '\0' && a->settings.dir[0] != '\0')
        snprintf(a->dir, sizeof a->dir, "%s", a->settings.dir);
    if (code == 0 && a->dir[0] == '\0')
        code = history_default_dir(a->dir, sizeof a->dir, &error);
    return code < 0 ? complain(&error) : -1;
}

int main(int argc, char **argv)
{
    static struct arguments a;
    char given[64];
    const struct command *command = NULL;
    setlocale(LC_TIME, "");
    setlocale(LC_CTYPE, "");
    int status = parse(&a, argc, argv, given, sizeof given);
    if (status >= 0)
        return status;
    if (a.n_words == 0)
        return bad("%s", "no command given");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, a.words[0]) == 0)
            command = &commands[i];
    if (command == NULL)
        return bad("%s: no such command", a.words[0]);
    a.words++;
    a.n_words--;
    status = check(command, &a, given);
    if (status < 0)
        status = load(&a);
    if (status < 0)
        status = command->run(&a);
    settings_finish(&a.settings);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "focal-record: the output cannot be written: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return status;
}
