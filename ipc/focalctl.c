/* SPDX-License-Identifier: Apache-2.0
 * focalctl: asks a running focald, and listens to it. A client like any other, through libfocal. */
#include "ipc/focalctl.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/keys.h"

static const char usage[] =
    "usage: focalctl [OPTION...] COMMAND\n"
    "\n"
    "  status             what the daemon does, and how well each stream is\n"
    "  listen [TOPIC...]  print what is heard; TOPIC is a prefix such as label/ or event/kitchen\n"
    "  streams            the streams and their sources\n"
    "  get [KEY]          live parameters\n"
    "  set KEY VALUE      change one, until focald ends\n"
    "  reload             read the configuration files and the model again\n"
    "  info [STREAM]      labels, model and every number in use\n"
    "  doctor             look for what keeps focald from hearing, and say how to mend it\n"
    "  keygen FILE        write a new CURVE key pair to FILE and FILE.pub\n"
    "\n"
    "  -n, --name NAME        the daemon's ipc name (focald)\n"
    "      --data ENDPOINT    where it publishes, e.g. tcp://HOST:PORT\n"
    "      --control ENDPOINT where it takes requests\n"
    "      --server-key FILE  the daemon's public key, for TCP with CURVE\n"
    "      --key FILE         this client's secret key\n"
    "  -j, --json             print JSON, one object a line\n"
    "  -t, --timeout SECONDS  wait that long for an answer (2; reload 60)\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n";

enum { ANSWER_S = 2, RELOAD_S = 60 }; /* a model of some hundred MB is read for seconds */

struct arguments {
    const char *data, *control, *name, *server_key_file, *key_file;
    bool json;
    double timeout_s; /* 0: the command's own */
    char **words;     /* the command and its arguments */
    int n;
};

enum { OPTION_DATA = 256, OPTION_CONTROL, OPTION_SERVER_KEY, OPTION_KEY };

static int bad_usage(const char *format, const char *what)
{
    fputs("focalctl: ", stderr);
    fprintf(stderr, format, what);
    fputs("; focalctl --help lists what there is\n", stderr);
    return EXIT_USAGE;
}

/* Returns -1 to go on, or the exit status. */
static int parse_arguments(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},
        {"data", required_argument, NULL, OPTION_DATA},
        {"control", required_argument, NULL, OPTION_CONTROL},
        {"server-key", required_argument, NULL, OPTION_SERVER_KEY},
        {"key", required_argument, NULL, OPTION_KEY},
        {"json", no_argument, NULL, 'j'},
        {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    int option;
    char *end;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":n:jt:hV", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            a->name = optarg;
            if (optarg[0] == '\0' || strchr(optarg, '/') != NULL)
                return bad_usage("--name %s: must be a name without /", optarg);
            break;
        case OPTION_DATA:
            a->data = optarg;
            break;
        case OPTION_CONTROL:
            a->control = optarg;
            break;
        case OPTION_SERVER_KEY:
            a->server_key_file = optarg;
            break;
        case OPTION_KEY:
            a->key_file = optarg;
            break;
        case 'j':
            a->json = true;
            break;
        case 't':
            a->timeout_s = strtod(optarg, &end);
            if (end == optarg || *end != '\0' || !(a->timeout_s > 0 && a->timeout_s <= 3600))
                return bad_usage("--timeout %s: must be 0.001 to 3600 seconds", optarg);
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            printf("focalctl %s\n", FOCALD_VERSION);
            return EXIT_SUCCESS;
        case ':':
            return bad_usage("%s: needs a value", argv[optind - 1]);
        default:
            return bad_usage("%s: no such option", argv[optind - 1]);
        }
    }
    a->words = argv + optind;
    a->n = argc - optind;
    return a->n > 0 ? -1 : bad_usage("%s", "no command given");
}

/* Nothing listens on a unix socket's path: no need to wait for an answer. */
static bool is_dead(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strncmp(endpoint, "ipc://", 6) != 0 || strlen(endpoint + 6) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, endpoint + 6, strlen(endpoint + 6));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        code = errno;
    bool dead = code == ENOENT || code == ECONNREFUSED || code == ENOTDIR;
    bool forbidden = code == EACCES;
    if (fd >= 0)
        close(fd);
    if (dead)
        fprintf(stderr,
                "focalctl: no daemon at %s; is focald running? (`focald run`, systemctl --user "
                "status focald, or of the whole machine systemctl status focald)\n",
                endpoint);
    if (forbidden)
        fprintf(stderr, "focalctl: %s: permission denied; be in the group that owns it\n",
                endpoint);
    return dead || forbidden;
}

json_t *focalctl_ask(struct focalctl *ctl, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT), *answer = NULL;
    json_decref(request);
    if (text == NULL || is_dead(ctl->control)) {
        free(text);
        return NULL;
    }
    int code = focal_request(ctl->focal, text, &answer, ctl->timeout_ms);
    free(text);
    if (code != 0) {
        fprintf(stderr, "focalctl: %s\n", focal_error(ctl->focal));
        return NULL;
    }
    json_t *reply = json_loads(answer, 0, NULL);
    free(answer);
    if (json_is_true(json_object_get(reply, "ok")))
        return reply;
    const char *line = json_string_value(json_object_get(reply, "error"));
    fputs("focalctl: ", stderr);
    focalctl_print_text(line != NULL ? line : "the answer is not focald's", stderr);
    fputc('\n', stderr);
    json_decref(reply);
    return NULL;
}

static int print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (text != NULL)
        puts(text);
    free(text);
    return text != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct command {
    const char *name;
    int least, most;    /* words after it; -1: any number */
    const char *member; /* of the reply: what --json prints and what show gets */
    void (*show)(const json_t *value, FILE *out);
    double timeout_s; /* 0: ANSWER_S */
};

static void show_changed(const json_t *changed, FILE *out)
{
    if (json_array_size(changed) == 0)
        fputs("nothing changed\n", out);
    for (size_t i = 0; i < json_array_size(changed); i++) {
        const char *key = json_string_value(json_array_get(changed, i));
        fputs("changed: ", out);
        focalctl_print_text(key != NULL ? key : "-", out);
        fputc('\n', out);
    }
}

static const struct command commands[] = {
    {"status", 0, 0, "status", focalctl_show_status, 0},
    {"streams", 0, 0, "streams", focalctl_show_streams, 0},
    {"get", 0, 1, "values", focalctl_show_values, 0},
    {"set", 2, 2, "values", focalctl_show_values, 0},
    {"reload", 0, 0, "changed", show_changed, RELOAD_S},
    {"info", 0, 1, "info", focalctl_show_info, 0},
    {"listen", 0, -1, NULL, NULL, 0},
    {"doctor", 0, 0, NULL, NULL, 0},
    {"keygen", 1, 1, NULL, NULL, 0},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_request(struct focalctl *ctl, const struct command *command, char **words, int n)
{
    json_t *request = json_pack("{s:s}", "cmd", command->name);
    if (n > 0)
        json_object_set_new(request, strcmp(command->name, "info") == 0 ? "stream" : "key",
                            json_string(words[0]));
    if (n > 1)
        json_object_set_new(request, "value", json_string(words[1]));
    json_t *reply = focalctl_ask(ctl, request);
    if (reply == NULL)
        return EXIT_FAILURE;
    const json_t *value = json_object_get(reply, command->member);
    int status = EXIT_SUCCESS;
    if (ctl->json)
        status = print_json(value);
    else
        command->show(value, stdout);
    json_decref(reply);
    return status;
}

static int run_keygen(const char *path, bool json)
{
    char public[KEY_TEXT_BYTES];
    struct error error;
    if (key_write_pair(path, public, &error) < 0) {
        fprintf(stderr, "focalctl: %s\n", error.text);
        return EXIT_FAILURE;
    }
    if (json) {
        json_t *value = json_pack("{s:s}", "public", public);
        int status = print_json(value);
        json_decref(value);
        return status;
    }
    printf("secret key: %s (keep it; name it as curve_secret_key)\n"
           "public key: %s.pub (give it to the other side)\n",
           path, path);
    return EXIT_SUCCESS;
}

static int choose_endpoint(char ret[ENDPOINT_BYTES], const char *given, const char *name,
                           const char *socket)
{
    int code = 0;
    if (given == NULL)
        code = focal_endpoint(ret, ENDPOINT_BYTES, name, socket);
    else if (snprintf(ret, ENDPOINT_BYTES, "%s", given) >= ENDPOINT_BYTES)
        code = -ENAMETOOLONG;
    if (code < 0)
        fprintf(stderr, "focalctl: the %s endpoint is longer than %d characters\n", socket,
                ENDPOINT_BYTES - 1);
    return code;
}

static int open_focal(struct focalctl *ctl, const struct arguments *a)
{
    char server[KEY_TEXT_BYTES], secret[KEY_TEXT_BYTES], public[KEY_TEXT_BYTES];
    struct error error;
    struct focal_options options = {.data = ctl->data, .control = ctl->control};
    int code = 0;
    if (a->server_key_file != NULL) {
        code = key_read_public(a->server_key_file, server, &error);
        options.curve_server_public_key = server;
    }
    if (code == 0 && a->key_file != NULL) {
        code = key_read_secret(a->key_file, secret, public, &error);
        options.curve_secret_key = secret;
    }
    if (code < 0) {
        fprintf(stderr, "focalctl: %s\n", error.text);
        return code;
    }
    code = focal_open(&ctl->focal, &options);
    if (code < 0)
        fprintf(stderr, "focalctl: %s\n", focal_last_error());
    explicit_bzero(secret, sizeof secret);
    return code;
}

static bool answers(struct focalctl *ctl)
{
    json_t *reply = focalctl_ask(ctl, json_pack("{s:s}", "cmd", "ping"));
    json_decref(reply);
    return reply != NULL;
}

static int run_listen(struct focalctl *ctl, char **words, int n)
{
    if (is_dead(ctl->data) || !answers(ctl))
        return EXIT_FAILURE;
    return focalctl_listen(ctl, words, n);
}

static int milliseconds(double s)
{
    return (int)(s * 1000 + 0.5);
}

int main(int argc, char **argv)
{
    struct arguments a = {.data = NULL};
    setlocale(LC_CTYPE, "");
    int status = parse_arguments(&a, argc, argv);
    if (status >= 0)
        return status;
    const struct command *command = find_command(a.words[0]);
    if (command == NULL)
        return bad_usage("%s: no such command", a.words[0]);
    char **words = a.words + 1;
    int n = a.n - 1;
    if (n < command->least)
        return bad_usage("%s: needs more words after it", command->name);
    if (command->most >= 0 && n > command->most)
        return bad_usage("%s: is one word too many", words[command->most]);
    if (strcmp(command->name, "keygen") == 0)
        return run_keygen(words[0], a.json);

    struct focalctl ctl = {.json = a.json,
                           .timeout_ms = milliseconds(a.timeout_s > 0 ? a.timeout_s : ANSWER_S)};
    if (choose_endpoint(ctl.data, a.data, a.name, "data") < 0 ||
        choose_endpoint(ctl.control, a.control, a.name, "control") < 0 || open_focal(&ctl, &a) < 0)
        return EXIT_FAILURE;
    if (strcmp(command->name, "listen") == 0)
        status = run_listen(&ctl, words, n);
    else if (strcmp(command->name, "doctor") == 0)
        status = focalctl_doctor(&ctl);
    else if (command->timeout_s > 0 && a.timeout_s == 0) {
        /* for what takes long only who is there is waited for */
        status = EXIT_FAILURE;
        if (answers(&ctl)) {
            ctl.timeout_ms = milliseconds(command->timeout_s);
            status = run_request(&ctl, command, words, n);
        }
    } else
        status = run_request(&ctl, command, words, n);
    focal_close(ctl.focal);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = EXIT_FAILURE;
    return status;
}
