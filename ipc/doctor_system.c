/* SPDX-License-Identifier: Apache-2.0
 * What the doctor sees of the machine: sound servers, configuration and model (by focald itself),
 * disk, permissions. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/inifile.h"
#include "ipc/doctor.h"

enum { RUN_MS = 30000, PATH_BYTES = 512 };

/* focald: the one of the same build folder, beside this program, or on the search path. */
static void find_focald(char *ret, size_t size)
{
    char here[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    here[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(here, '/');
    if (slash != NULL) {
        *slash = '\0';
        static const char *const places[] = {"../daemon/focald", "focald"};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            snprintf(ret, size, "%s/%s", here, places[i]);
            if (access(ret, X_OK) == 0)
                return;
        }
    }
    snprintf(ret, size, "focald");
}

static int run_focald(const char *option, char *out, char *err)
{
    char program[PATH_BYTES + 32], run[] = "run", text[32];
    find_focald(program, sizeof program);
    snprintf(text, sizeof text, "%s", option);
    char *const argv[] = {program, run, text, NULL};
    return doctor_run(argv, out, err, DOCTOR_OUTPUT_BYTES, RUN_MS);
}

/* How many lines begin with "KIND:"; the first goes to *ret_first. */
static int count_lines(const char *text, const char *kind, char *ret_first, size_t size)
{
    int n = 0;
    char copy[DOCTOR_OUTPUT_BYTES];
    snprintf(copy, sizeof copy, "%s", text);
    ret_first[0] = '\0';
    for (char *rest = copy, *line; (line = doctor_line(&rest)) != NULL;) {
        size_t length = strlen(kind);
        if (strncmp(line, kind, length) != 0 || line[length] != ':')
            continue;
        if (n++ == 0)
            snprintf(ret_first, size, "%s", line + length + 1);
    }
    return n;
}

/* Every stream of a running daemon is well, or plays a file: no server is missed. */
static bool server_is_needed(const struct doctor *d, const char *kind)
{
    const json_t *streams = json_object_get(d->status, "streams");
    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *s = json_array_get(streams, i);
        const char *source = json_string_value(json_object_get(s, "source"));
        if (!json_is_true(json_object_get(s, "ok")) && source != NULL && strcmp(source, kind) == 0)
            return true;
    }
    return false;
}

/* How a server answers; false with the reason in ret_why when it does not. */
static bool is_served(struct doctor *d, const char *kind, const char *out, const char *err,
                      char ret_why[DOCTOR_TEXT_BYTES])
{
    char first[DOCTOR_TEXT_BYTES];
    int n = count_lines(out, kind, first, sizeof first);
    if (n > 0)
        doctor_find(d, DOCTOR_OK, "server", "", "%s answers: %d to capture, such as %.200s", kind,
                    n, first);
    else if (count_lines(err, kind, ret_why, DOCTOR_TEXT_BYTES) == 0)
        doctor_find(d, DOCTOR_WARN, "server",
                    "plug in a microphone, or name a source that is no device (man focald-run)",
                    "%s answers, and has nothing to capture", kind);
    else
        return false;
    return true;
}

static void tell_missing(struct doctor *d, const char *kind, const char *why)
{
    if (!server_is_needed(d, kind))
        doctor_find(d, DOCTOR_OK, "server", "", "%s does not answer, and nothing here needs it",
                    kind);
    else
        doctor_find(d, DOCTOR_FAIL, "server",
                    strcmp(kind, "jack") == 0
                        ? "jackd -d alsa, or let PipeWire serve JACK (apt install pipewire-jack)"
                        : "systemctl --user start pipewire wireplumber",
                    "%s does not answer:%s", kind, why);
}

void doctor_check_servers(struct doctor *d)
{
    static const char *const kinds[] = {"pipewire", "jack"};
    static char out[DOCTOR_OUTPUT_BYTES], err[DOCTOR_OUTPUT_BYTES];
    char why[2][DOCTOR_TEXT_BYTES];
    bool served[2];
    if (run_focald("--list-sources", out, err) != 0) {
        doctor_find(d, DOCTOR_WARN, "server", "install focald, or put it on the search path (PATH)",
                    "focald run --list-sources cannot be asked%s%.200s", err[0] != '\0' ? ": " : "",
                    err);
        return;
    }
    for (int i = 0; i < 2; i++)
        served[i] = is_served(d, kinds[i], out, err, why[i]);
    bool waited_for = server_is_needed(d, "auto");
    if (!served[0] && !served[1] && (d->status == NULL || waited_for)) {
        doctor_find(
            d, waited_for ? DOCTOR_FAIL : DOCTOR_WARN, "server",
            d->owner[0] != '\0'
                ? "a service wants a JACK server of its own user, or another source in "
                  "/etc/focald/focald.conf.d; beside a desktop start the user's unit"
                : "systemctl --user start pipewire wireplumber, or jackd -d alsa; or name a "
                  "file or a pipe as source",
            "neither PipeWire nor JACK answers");
        return;
    }
    for (int i = 0; i < 2; i++)
        if (!served[i])
            tell_missing(d, kinds[i], why[i]);
}

void doctor_check_configuration(struct doctor *d)
{
    static char out[DOCTOR_OUTPUT_BYTES], err[DOCTOR_OUTPUT_BYTES];
    if (d->owner[0] != '\0' && geteuid() != 0) {
        doctor_find(d, DOCTOR_OK, "configuration", "",
                    "user %s's focald runs with its own; sudo focald run --check tells of the "
                    "machine's",
                    d->owner);
        return;
    }
    int status = run_focald("--check", out, err);
    char *rest = status == 0 ? out : err, *line = doctor_line(&rest);
    if (line == NULL)
        line = (char *)"focald run --check says nothing";
    if (status == 0)
        doctor_find(d, DOCTOR_OK, "configuration", "", "%s", line);
    else if (status < 0)
        doctor_find(d, DOCTOR_WARN, "configuration",
                    "install focald, or put it on the search path (PATH)",
                    "focald run --check cannot be asked");
    else
        doctor_find(d, DOCTOR_FAIL, "configuration",
                    "do what that line says, and try focald run --check", "%s", line);
}

/* The nearest directory that is there: what will be made is made in it. */
static void nearest(char *path)
{
    for (char *slash; access(path, F_OK) != 0 && errno == ENOENT &&
                      (slash = strrchr(path, '/')) != NULL && slash != path;)
        *slash = '\0';
}

/* ours: this user must be able to write there. */
static void check_place(struct doctor *d, const char *what, const char *wanted, bool ours)
{
    char path[PATH_BYTES], mend[DOCTOR_TEXT_BYTES];
    struct statvfs fs;
    snprintf(path, sizeof path, "%s", wanted);
    nearest(path);
    if ((ours && access(path, R_OK | W_OK | X_OK) != 0) || statvfs(path, &fs) != 0) {
        int code = errno;
        snprintf(mend, sizeof mend, "give it to this user: sudo chown -R $(id -un) %.300s", path);
        doctor_find(d, DOCTOR_FAIL, "disk", mend, "%s %s: %s", what, path, strerror(code));
        return;
    }
    double free_mb = (double)fs.f_bavail * (double)fs.f_frsize / 1e6;
    double files = fs.f_files > 0 ? (double)fs.f_favail / (double)fs.f_files : 1;
    enum verdict verdict = free_mb < 100 || files < 0.001   ? DOCTOR_FAIL
                           : free_mb < 1000 || files < 0.02 ? DOCTOR_WARN
                                                            : DOCTOR_OK;
    snprintf(mend, sizeof mend, "remove something from the disk of %.300s", path);
    doctor_find(d, verdict, "disk", verdict == DOCTOR_OK ? "" : mend, "%s %s: %.1f GB free%s", what,
                wanted, free_mb / 1000, files < 0.02 ? ", but hardly a file more" : "");
}

/* DIRECTORY/focald of a variable, or below the home directory. */
static bool place_of(const char *variable, const char *below_home, char *ret, size_t size)
{
    const char *directory = getenv(variable), *home = getenv("HOME");
    if (directory != NULL && directory[0] == '/')
        snprintf(ret, size, "%s/focald", directory);
    else if (home != NULL && home[0] == '/')
        snprintf(ret, size, "%s/%s/focald", home, below_home);
    else
        return false;
    return true;
}

/* What configuration files say of one key. */
struct configured {
    const char *section, *key;
    char path[PATH_BYTES]; /* "": nothing */
};

static int take_place(void *user, const char *where, const char *section, const char *key,
                      const char *value, struct error *error)
{
    struct configured *c = user;
    if (strcmp(section, c->section) == 0 && strcmp(key, c->key) == 0 &&
        (size_t)snprintf(c->path, sizeof c->path, "%s", value) >= sizeof c->path)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long", where);
    return 0;
}

/* The place that a program's files name, or the usual one; a service reads the system's files
 * alone. */
static void check_configured(struct doctor *d, const char *what, const char *file,
                             struct configured c, const char *usual)
{
    struct error error;
    const bool service = d->owner[0] != '\0';
    int r = service ? inifile_read_system(file, take_place, &c, &error)
                    : inifile_read_usual(file, NULL, take_place, &c, &error);
    if (r < 0) {
        doctor_find(d, DOCTOR_WARN, "disk", "mend that file, or ask as one who may read it",
                    "the place of %s is not known: %s", what, error.text);
        return;
    }
    if (c.path[0] == '\0' && usual == NULL)
        doctor_find(d, DOCTOR_WARN, "disk", "set HOME", "no place for %s: no HOME", what);
    else
        check_place(d, what, c.path[0] != '\0' ? c.path : usual, !service);
}

void doctor_check_disk(struct doctor *d)
{
    char cache[PATH_BYTES] = "/var/cache/focald", record[PATH_BYTES] = "/var/lib/focald/record";
    const bool service = d->owner[0] != '\0'; /* its units keep things there */
    bool has_cache = service || place_of("XDG_CACHE_HOME", ".cache", cache, sizeof cache);
    bool has_record = service || geteuid() == 0;
    if (!has_record &&
        place_of("XDG_DATA_HOME", ".local/share", record, sizeof record - strlen("/record"))) {
        strcat(record, "/record");
        has_record = true;
    }
    check_configured(d, "cache", "focald.conf", (struct configured){"paths", "cache", ""},
                     has_cache ? cache : NULL);
    check_configured(d, "recordings", "focal-record.conf", (struct configured){"record", "dir", ""},
                     has_record ? record : NULL);
}

static void check_runtime(struct doctor *d)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    char mend[DOCTOR_TEXT_BYTES];
    if (runtime == NULL || runtime[0] != '/') {
        if (geteuid() != 0)
            doctor_find(d, DOCTOR_FAIL, "permissions",
                        "log in properly (not by su), or set dir in [ipc] of the configuration",
                        "XDG_RUNTIME_DIR is not set: no place for a user's sockets");
        return;
    }
    if (stat(runtime, &st) != 0 || access(runtime, R_OK | W_OK | X_OK) != 0) {
        snprintf(mend, sizeof mend, "log in properly, so that it is made for this user");
        doctor_find(d, DOCTOR_FAIL, "permissions", mend, "runtime directory %s: %s", runtime,
                    strerror(errno));
    } else if (st.st_uid != geteuid()) {
        doctor_find(d, DOCTOR_FAIL, "permissions", "log in properly (not by su or sudo)",
                    "runtime directory %s is another user's", runtime);
    } else if ((st.st_mode & 022) != 0) {
        snprintf(mend, sizeof mend, "chmod 700 %.300s", runtime);
        doctor_find(d, DOCTOR_WARN, "permissions", mend,
                    "runtime directory %s: others may write in it", runtime);
    } else {
        doctor_find(d, DOCTOR_OK, "permissions", "", "runtime directory %s", runtime);
    }
}

static bool in_group(const char *name)
{
    const struct group *group = getgrnam(name);
    gid_t groups[256];
    int n = getgroups(256, groups);
    if (group == NULL || geteuid() == 0 || getegid() == group->gr_gid)
        return true; /* nothing that could be mended by it */
    for (int i = 0; i < n; i++)
        if (groups[i] == group->gr_gid)
            return true;
    return false;
}

/* Needed by JACK clients only; PipeWire asks rtkit. */
static void check_limits(struct doctor *d)
{
    struct rlimit priority, memory;
    if (getrlimit(RLIMIT_RTPRIO, &priority) != 0 || getrlimit(RLIMIT_MEMLOCK, &memory) != 0)
        return;
    if (priority.rlim_cur == 0 && geteuid() != 0)
        doctor_find(d, DOCTOR_WARN, "permissions",
                    "for JACK: be in the group audio, and write \"@audio - rtprio 95\" and "
                    "\"@audio - memlock unlimited\" into /etc/security/limits.d/audio.conf",
                    "no real-time priority is allowed: JACK may drop sound");
    else
        doctor_find(d, DOCTOR_OK, "permissions", "", "real-time priority is allowed");
}

void doctor_check_permissions(struct doctor *d)
{
    if (d->owner[0] != '\0') {
        doctor_find(d, DOCTOR_OK, "permissions", "",
                    "user %s's focald lets this user in; what it may itself is its unit's: "
                    "systemctl cat focald",
                    d->owner);
        return;
    }
    check_runtime(d);
    if (!in_group("audio"))
        doctor_find(d, DOCTOR_WARN, "permissions",
                    "sudo usermod -aG audio $(id -un), and log in anew",
                    "not in the group audio, which devices and JACK's limits are given to");
    check_limits(d);
}
