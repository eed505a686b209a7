/* SPDX-License-Identifier: Apache-2.0
 * What the doctor asks of the sockets and of the daemon behind them. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/doctor.h"

enum { PUBLISH_MS = 4000 }; /* health comes every second */

static const char start_it[] =
    "systemctl --user start focald; for the whole machine sudo systemctl "
    "start focald; by hand focald run";

/* The path of an ipc endpoint; NULL for others. */
static const char *path_of(const char *endpoint)
{
    return strncmp(endpoint, "ipc://", 6) == 0 ? endpoint + 6 : NULL;
}

/* 0, or the errno with which a connection there fails. */
static int try_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int code = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return code == EAGAIN ? 0 : code; /* it listens, and is busy */
}

/* "be in the group focald": whom the file is open to. */
static void mend_permission(const char *path, char *ret, size_t size)
{
    struct stat st;
    char directory[256];
    snprintf(directory, sizeof directory, "%s", path);
    for (;;) { /* what is inside a closed directory cannot be asked */
        char *slash = strrchr(directory, '/');
        if (stat(directory, &st) == 0 || slash == NULL || slash == directory)
            break;
        *slash = '\0';
    }
    const struct passwd *user = getpwuid(geteuid());
    const struct group *group = stat(directory, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    snprintf(ret, size, "be in the group that owns %s: sudo usermod -aG %s %s, and log in anew",
             directory, group != NULL ? group->gr_name : "GROUP",
             user != NULL ? user->pw_name : "USER");
}

static void check_socket(struct doctor *d, const char *endpoint, const char *what)
{
    const char *path = path_of(endpoint);
    char mend[DOCTOR_TEXT_BYTES];
    struct stat st;
    if (path == NULL) {
        doctor_find(d, DOCTOR_OK, "sockets", "", "%s is at %s, which is not a file", what,
                    endpoint);
        return;
    }
    int code = lstat(path, &st) != 0 ? errno : S_ISSOCK(st.st_mode) ? try_socket(path) : ENOTSOCK;
    switch (code) {
    case 0:
        doctor_find(d, DOCTOR_OK, "sockets", "", "%s listens", path);
        break;
    case ENOENT:
    case ENOTDIR:
        doctor_find(d, DOCTOR_FAIL, "sockets", start_it, "%s is not there: no focald runs here",
                    path);
        break;
    case ECONNREFUSED:
        snprintf(mend, sizeof mend,
                 "start focald, which takes it over, or remove it: rm %s; it ended without "
                 "tidying up, journalctl -u focald may say why",
                 path);
        doctor_find(d, DOCTOR_FAIL, "sockets", mend, "%s is stale: nobody listens there", path);
        break;
    case EACCES:
    case EPERM:
        mend_permission(path, mend, sizeof mend);
        doctor_find(d, DOCTOR_FAIL, "sockets", mend, "%s: permission denied", path);
        break;
    case ENOTSOCK:
        snprintf(mend, sizeof mend, "move it away, and start focald");
        doctor_find(d, DOCTOR_FAIL, "sockets", mend, "%s is there and not a socket", path);
        break;
    default:
        doctor_find(d, DOCTOR_FAIL, "sockets", start_it, "%s: %s", path, strerror(code));
        break;
    }
}

static bool somebody_listens(const struct doctor *d)
{
    for (int i = 0; i < d->n; i++)
        if (d->findings[i].verdict == DOCTOR_FAIL && strcmp(d->findings[i].check, "sockets") == 0)
            return false;
    return true;
}

static void note_owner(struct doctor *d, const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0 || st.st_uid == geteuid())
        return;
    const struct passwd *user = getpwuid(st.st_uid);
    if (user != NULL)
        snprintf(d->owner, sizeof d->owner, "%s", user->pw_name);
    else
        snprintf(d->owner, sizeof d->owner, "%lu", (unsigned long)st.st_uid);
}

void doctor_check_sockets(struct doctor *d)
{
    check_socket(d, d->ctl->data, "data");
    check_socket(d, d->ctl->control, "control");
    if (somebody_listens(d))
        note_owner(d, path_of(d->ctl->data));
}

/* The member of the daemon's reply, NULL with no answer or an error. */
static json_t *ask(struct doctor *d, const char *request, const char *member)
{
    char *answer = NULL;
    if (focal_request(d->ctl->focal, request, &answer, d->ctl->timeout_ms) != 0)
        return NULL;
    json_t *reply = json_loads(answer, 0, NULL);
    json_t *value = json_incref(json_object_get(reply, member));
    free(answer);
    json_decref(reply);
    return value;
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : otherwise;
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* The other socket: messages must really come. */
static void check_publishing(struct doctor *d)
{
    struct focal_message m;
    int code = focal_subscribe(d->ctl->focal, "health/");
    if (code == 0)
        code = focal_next(d->ctl->focal, &m, PUBLISH_MS);
    focal_unsubscribe(d->ctl->focal, "health/");
    if (code == 1)
        doctor_find(d, DOCTOR_OK, "daemon", "", "it publishes at %s", d->ctl->data);
    else
        doctor_find(d, DOCTOR_FAIL, "daemon",
                    "restart it; over TCP, see that the port is open and the keys belong together",
                    "nothing came from %s within %d s%s%s", d->ctl->data, PUBLISH_MS / 1000,
                    code < 0 ? ": " : "", code < 0 ? focal_error(d->ctl->focal) : "");
}

void doctor_check_daemon(struct doctor *d)
{
    if (!somebody_listens(d)) {
        doctor_find(d, DOCTOR_FAIL, "daemon", "mend the sockets above", "no focald to ask");
        return;
    }
    d->status = ask(d, "{\"cmd\":\"status\"}", "status");
    if (d->status == NULL) {
        doctor_find(d, DOCTOR_FAIL, "daemon",
                    "systemctl --user restart focald, or sudo systemctl restart focald",
                    "%s does not answer within %.1f s", d->ctl->control,
                    d->ctl->timeout_ms / 1000.0);
        return;
    }
    const json_t *model = json_object_get(d->status, "model");
    doctor_find(d, DOCTOR_OK, "daemon", "", "focald %s answers, up %.0f s",
                text_of(d->status, "version", "?"), number_of(d->status, "uptime_s"));
    doctor_find(d, DOCTOR_OK, "model", "", "in use: %s, hash %.16s, %.0f labels, on the %s in %s",
                text_of(model, "name", "?"), text_of(model, "hash", "?"),
                number_of(model, "classes"), text_of(d->status, "backend", "?"),
                text_of(d->status, "precision", "?"));
    check_publishing(d);
}

/* What the daemon says of every stream while it lasts is one finding. */
static void check_gpu(struct doctor *d)
{
    const char *problem = text_of(d->status, "gpu_problem", "");
    const double failures = number_of(d->status, "gpu_failures");
    if (problem[0] != '\0')
        doctor_find(d, DOCTOR_FAIL, "gpu",
                    "see whether nvidia-smi finds the card, and what the kernel says of it "
                    "(journalctl -k | grep -i nvrm); then restart focald, which takes it anew; "
                    "backend = cpu in [model] does without one",
                    "%s", problem);
    else if (failures > 0)
        doctor_find(d, DOCTOR_WARN, "gpu",
                    "see what the kernel says of the card: journalctl -k | grep -i nvrm",
                    "it failed %.0f time%s since the start, and computes again", failures,
                    failures == 1 ? "" : "s");
}

static void check_stream(struct doctor *d, const json_t *s)
{
    const char *gpu_problem = text_of(d->status, "gpu_problem", "");
    const char *problem = text_of(s, "problem", "not well");
    const char *name = text_of(s, "name", "?");
    double windows = number_of(s, "windows"), skipped = number_of(s, "skipped_windows");
    double lost = number_of(s, "lost_samples");
    const bool of_gpu = gpu_problem[0] != '\0' && strcmp(problem, gpu_problem) == 0;
    if (!json_is_true(json_object_get(s, "ok")) && !of_gpu)
        doctor_find(d, DOCTOR_FAIL, "source",
                    "see the lines on servers below, and focalctl streams; focald goes on by "
                    "itself once the source is back",
                    "stream %s: %s", name, problem);
    else
        doctor_find(d, DOCTOR_OK, "source", "", "stream %s: %s", name,
                    text_of(s, "text", text_of(s, "state", "?")));
    if (skipped > 0.01 * (windows + skipped))
        doctor_find(d, DOCTOR_WARN, "speed",
                    "a longer hop (focalctl set hop \"86 frames\"), fewer streams, or fewer other "
                    "programs; focald bench tells what this machine can do",
                    "stream %s: %.0f of %.0f windows were skipped", name, skipped,
                    windows + skipped);
    if (lost > 0)
        doctor_find(d, DOCTOR_WARN, "losses",
                    "a larger ring in the configuration's [audio] section, fewer other programs",
                    "stream %s: %.0f samples were lost since its start", name, lost);
}

void doctor_check_streams(struct doctor *d)
{
    const json_t *streams = json_object_get(d->status, "streams");
    check_gpu(d);
    for (size_t i = 0; i < json_array_size(streams) && i < 32; i++)
        check_stream(d, json_array_get(streams, i));
}
