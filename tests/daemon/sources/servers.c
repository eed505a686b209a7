/* SPDX-License-Identifier: Apache-2.0
 * Every program runs in a process group of its own under a keeper that waits on a pipe. Only the
 * test holds the pipe's other end, so its end, however it comes, ends the group. */
#include "tests/daemon/sources/servers.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <jack/jack.h>
#include <signal.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KILL = 'k', HANG = 'h', GO_ON = 'g' }; /* what the keeper is told */
enum { MAX_PROGRAMS = 16, ANSWER_MS = 10000, POLL_MS = 20, GRACE_S = 1 };

struct program {
    pid_t keeper; /* 0: free */
    int leash;    /* closing it ends the group */
};

struct servers {
    char dir[64];
    struct program programs[MAX_PROGRAMS];
    int jack, pipewire; /* ids, negative: not running */
};

static const char pipewire_conf[] =
    /* long cycles: a busy machine meets them too */
    "context.properties = { default.clock.rate = 48000 default.clock.quantum = 4096\n"
    "                       default.clock.min-quantum = 4096 }\n"
    "context.objects = [\n"
    "  { factory = adapter args = { factory.name = support.null-audio-sink\n"
    "      node.name = " SERVERS_SINK " media.class = Audio/Sink\n"
    "      node.description = \"Test sink\" audio.position = [ FL FR ]\n"
    "      monitor.channel-volumes = false } }\n"
    "  { factory = adapter args = { factory.name = support.null-audio-sink\n"
    "      node.name = " SERVERS_SOURCE " media.class = Audio/Source/Virtual\n"
    "      node.description = \"Test source\" audio.position = [ FL FR ] } }\n"
    "]\n";

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

bool servers_has_program(const char *name)
{
    char path[4096], *saved;
    const char *dirs = getenv("PATH");
    char *copy = strdup(dirs != NULL ? dirs : "/usr/bin:/bin");
    bool found = false;
    for (char *dir = copy == NULL ? NULL : strtok_r(copy, ":", &saved); dir != NULL && !found;
         dir = strtok_r(NULL, ":", &saved)) {
        snprintf(path, sizeof path, "%s/%s", dir, name);
        found = access(path, X_OK) == 0;
    }
    free(copy);
    return found;
}

/* Programs on a leash */

static void run_program(const char *log, const char *const argv[])
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the keeper be killed */
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), in = open("/dev/null", O_RDONLY);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* The program and what it starts are our children or, once orphaned, become so: all are waited for,
 * and with them their sockets and shared memory are gone. */
static void run_keeper(const char *log, const char *const argv[], int leash)
{
    char byte;
    ssize_t n;
    setpgid(0, 0); /* a Ctrl-C ends the test, and we come after it */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = fork();
    if (pid == 0)
        run_program(log, argv);
    while ((n = read(leash, &byte, 1)) != 0) {
        if (n == 1 && byte == KILL)
            break;
        if (n == 1)
            kill(-pid, byte == HANG ? SIGSTOP : SIGCONT);
    }
    kill(-pid, SIGCONT);
    if (n == 0) { /* asked nicely at first: jackd gives its place in a table of eight back */
        sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
        kill(-pid, SIGTERM);
        alarm(GRACE_S);
        while (wait(NULL) > 0)
            ;
    }
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (wait(NULL) > 0)
        ;
    _exit(0);
}

int servers_run(struct servers *s, const char *const argv[])
{
    char log[128];
    int id = 0, leash[2];
    const char *name = strrchr(argv[0], '/');
    snprintf(log, sizeof log, "%s/%s.log", s->dir, name != NULL ? name + 1 : argv[0]);
    while (id < MAX_PROGRAMS && s->programs[id].keeper != 0)
        id++;
    if (id == MAX_PROGRAMS)
        return -EMFILE;
    if (pipe2(leash, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < MAX_PROGRAMS; i++)
            if (s->programs[i].keeper != 0)
                close(s->programs[i].leash); /* another keeper's must not outlive the test */
        close(leash[1]);
        run_keeper(log, argv, leash[0]);
    }
    close(leash[0]);
    if (pid < 0) {
        close(leash[1]);
        return -errno;
    }
    s->programs[id] = (struct program){.keeper = pid, .leash = leash[1]};
    return id;
}

void servers_end(struct servers *s, int id)
{
    if (id < 0 || s->programs[id].keeper == 0)
        return;
    close(s->programs[id].leash);
    waitpid(s->programs[id].keeper, NULL, 0);
    s->programs[id].keeper = 0;
}

void servers_kill(struct servers *s, int id)
{
    if (id < 0 || s->programs[id].keeper == 0)
        return;
    if (write(s->programs[id].leash, &(char){KILL}, 1) == 1)
        waitpid(s->programs[id].keeper, NULL, 0);
    servers_end(s, id);
}

void servers_hang(struct servers *s, int id, bool hang)
{
    if (id < 0 || s->programs[id].keeper == 0)
        return;
    while (write(s->programs[id].leash, &(char){hang ? HANG : GO_ON}, 1) < 0 && errno == EINTR)
        ;
    sleep_ms(50); /* for the keeper to hear it */
}

/* Life */

struct servers *servers_new(void)
{
    struct servers *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    snprintf(s->dir, sizeof s->dir, "/tmp/focald-servers-XXXXXX");
    s->jack = s->pipewire = -1;
    if (mkdtemp(s->dir) == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void servers_free(struct servers *s)
{
    if (s == NULL)
        return;
    servers_stop_jack(s);
    servers_stop_pipewire(s);
    for (int i = 0; i < MAX_PROGRAMS; i++)
        servers_end(s, i);
    nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s);
}

const char *servers_dir(const struct servers *s)
{
    return s->dir;
}

/* JACK */

static void silent(const char *text)
{
    (void)text;
}

static bool jackd_runs(void)
{
    glob_t found = {0};
    bool runs = false;
    glob("/proc/[0-9]*/comm", 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && !runs; i++) {
        char name[32] = "";
        FILE *file = fopen(found.gl_pathv[i], "r");
        if (file != NULL && fgets(name, sizeof name, file) != NULL)
            runs = strcmp(name, "jackd\n") == 0;
        if (file != NULL)
            fclose(file);
    }
    globfree(&found);
    return runs;
}

/* A killed jackd may leave its metadata such that each open takes 18 s. */
static void remove_stale_metadata(void)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/jack_db-%u", (unsigned)getuid());
    if (!jackd_runs())
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool jack_answers(void)
{
    jack_client_t *client = jack_client_open("servers-probe", JackNoStartServer, NULL);
    if (client != NULL)
        jack_client_close(client);
    return client != NULL;
}

static bool realtime_allowed(void)
{
    struct sched_param normal, wanted = {.sched_priority = 10};
    int policy = sched_getscheduler(0);
    if (policy < 0 || sched_getparam(0, &normal) < 0 ||
        sched_setscheduler(0, SCHED_FIFO, &wanted) < 0)
        return false;
    return sched_setscheduler(0, policy, &normal) == 0;
}

bool servers_start_jack(struct servers *s, char reason[static SERVERS_REASON])
{
    char name[64];
    if (s->jack >= 0)
        return true;
    if (!servers_has_program("jackd")) {
        snprintf(reason, SERVERS_REASON, "jackd is not installed (package jackd2)");
        return false;
    }
    snprintf(name, sizeof name, "focald-test-%d", (int)getpid());
    setenv("JACK_DEFAULT_SERVER", name, 1);
    jack_set_error_function(silent);
    jack_set_info_function(silent);
    /* -S: the server waits for its clients, so that a busy machine is late but loses nothing; with
     * real-time scheduling, where it is allowed, it is not even late */
    const char *const argv[] = {"jackd", "-n", name,    realtime_allowed() ? "-R" : "-r",
                                "-S",    "-t", "2000",  "-d",
                                "dummy", "-r", "48000", "-p",
                                "64",    NULL};
    remove_stale_metadata();
    s->jack = servers_run(s, argv);
    for (int ms = 0; s->jack >= 0 && ms < ANSWER_MS; ms += POLL_MS) {
        if (jack_answers())
            return true;
        sleep_ms(POLL_MS);
    }
    servers_stop_jack(s);
    snprintf(reason, SERVERS_REASON, "jackd does not come up here");
    return false;
}

void servers_stop_jack(struct servers *s)
{
    servers_end(s, s->jack);
    s->jack = -1;
}

void servers_kill_jack(struct servers *s)
{
    servers_kill(s, s->jack);
    s->jack = -1;
}

void servers_hang_jack(struct servers *s, bool hang)
{
    servers_hang(s, s->jack, hang);
}

/* PipeWire */

/* The machine's own devices stay out: what a test hears is what it plays. And the part for
 * Bluetooth ends WirePlumber where there is no logind, as in a container. */
static const struct {
    const char *dir, *file, *text;
} pipewire_files[] = {
    {"config", NULL, NULL},
    {"config/pipewire", NULL, NULL},
    {"config/pipewire/pipewire.conf.d", "test.conf", pipewire_conf},
    {"config/wireplumber", NULL, NULL},
    {"config/wireplumber/bluetooth.lua.d", "51-test.lua", "bluez_monitor.enabled = false\n"},
    {"config/wireplumber/main.lua.d", "51-test.lua",
     "alsa_monitor.enabled = false\nlibcamera_monitor.enabled = false\n"
     "v4l2_monitor.enabled = false\n"},
};

static bool write_config(const struct servers *s)
{
    char path[256];
    for (size_t i = 0; i < sizeof pipewire_files / sizeof pipewire_files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", s->dir, pipewire_files[i].dir);
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return false;
        if (pipewire_files[i].file == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s/%s", s->dir, pipewire_files[i].dir,
                 pipewire_files[i].file);
        FILE *file = fopen(path, "w");
        if (file == NULL)
            return false;
        bool ok = fputs(pipewire_files[i].text, file) >= 0;
        if (fclose(file) != 0 || !ok)
            return false;
    }
    return true;
}

static bool pipewire_answers(const struct servers *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/pipewire-0", s->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

bool servers_start_pipewire(struct servers *s, char reason[static SERVERS_REASON])
{
    static const char *const needed[] = {"pipewire", "wireplumber", "dbus-run-session", "pw-play"};
    char config[128];
    if (s->pipewire >= 0)
        return true;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!servers_has_program(needed[i])) {
            snprintf(reason, SERVERS_REASON, "%s is not installed", needed[i]);
            return false;
        }
    snprintf(config, sizeof config, "%s/config", s->dir);
    setenv("XDG_RUNTIME_DIR", s->dir, 1);
    setenv("PIPEWIRE_RUNTIME_DIR", s->dir, 1);
    setenv("XDG_CONFIG_HOME", config, 1);
    setenv("XDG_STATE_HOME", config, 1);
    unsetenv("PIPEWIRE_REMOTE");
    /* WirePlumber must find the server, and wants a session bus */
    static const char *const argv[] = {
        "dbus-run-session",
        "--",
        "sh",
        "-c",
        "pipewire & until test -S \"$XDG_RUNTIME_DIR/pipewire-0\"; do sleep 0.02; done; "
        "exec wireplumber",
        NULL};
    if (write_config(s))
        s->pipewire = servers_run(s, argv);
    for (int ms = 0; s->pipewire >= 0 && ms < ANSWER_MS; ms += POLL_MS) {
        if (pipewire_answers(s))
            return true;
        sleep_ms(POLL_MS);
    }
    servers_stop_pipewire(s);
    snprintf(reason, SERVERS_REASON, "pipewire does not come up here");
    return false;
}

void servers_stop_pipewire(struct servers *s)
{
    servers_end(s, s->pipewire);
    s->pipewire = -1;
}

void servers_kill_pipewire(struct servers *s)
{
    char path[128];
    servers_kill(s, s->pipewire);
    s->pipewire = -1;
    snprintf(path, sizeof path, "%s/pipewire-0", s->dir);
    unlink(path); /* killed, it leaves its socket */
}

void servers_hang_pipewire(struct servers *s, bool hang)
{
    servers_hang(s, s->pipewire, hang);
}
