/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/daemon/system/focald_process.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *need_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail_msg("%s is not set: run this through meson test", name);
    return value;
}

const char *demo_dir(void)
{
    return need_env("FOCALD_DEMO");
}

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_log(const struct focald_process *f)
{
    char line[1024];
    FILE *log = fopen(f->log, "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        print_message("focald: %s", line);
    if (log != NULL)
        fclose(log);
}

void focald_configure(struct focald_process *f, const char *config_text)
{
    char path[320];
    snprintf(path, sizeof path, "%s/focald.conf", f->dir);
    FILE *config = fopen(path, "w");
    assert_non_null(config);
    fprintf(config, "[ipc]\ndir = %s/run\n[paths]\ncache = %s/cache\n%s\n", f->dir, f->dir,
            config_text);
    assert_int_equal(fclose(config), 0);
}

static void spawn(struct focald_process *f)
{
    char config[320];
    snprintf(config, sizeof config, "%s/focald.conf", f->dir);
    const char *program = need_env("FOCALD");
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(f->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    dup2(log, 2);
    execl(program, program, "run", "--config", config, (char *)NULL);
    _exit(127);
}

static bool answers(const struct focald_process *f)
{
    struct focal *focal = focald_client(f, "none/");
    char *reply = NULL;
    int r = focal_request(focal, "{\"cmd\":\"status\"}", &reply, 300);
    bool ok = r == 0 && strstr(reply, "\"uptime_s\"") != NULL;
    free(reply);
    focal_close(focal);
    return ok;
}

void focald_start(struct focald_process *f, const char *config_text)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/focald-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->data, sizeof f->data, "ipc://%s/run/data", f->dir);
    snprintf(f->control, sizeof f->control, "ipc://%s/run/control", f->dir);
    snprintf(f->log, sizeof f->log, "%s/log", f->dir);
    focald_configure(f, config_text);
    spawn(f);
    double end = seconds_now() + 30;
    while (!answers(f)) {
        if (seconds_now() > end || waitpid(f->pid, NULL, WNOHANG) == f->pid) {
            print_log(f);
            fail_msg("focald did not start");
        }
    }
}

int focald_stop(struct focald_process *f, double *ret_ms)
{
    int status = 0;
    double start = seconds_now();
    kill(f->pid, SIGTERM);
    while (waitpid(f->pid, &status, WNOHANG) == 0) {
        if (seconds_now() - start > 5) {
            kill(f->pid, SIGKILL);
            waitpid(f->pid, &status, 0);
            f->pid = 0;
            print_log(f);
            return -1;
        }
        usleep(2000);
    }
    f->pid = 0;
    if (ret_ms != NULL)
        *ret_ms = (seconds_now() - start) * 1e3;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void focald_clean(struct focald_process *f)
{
    char command[320];
    if (f->pid > 0) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        f->pid = 0;
    }
    if (f->dir[0] == '\0')
        return;
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    if (system(command) != 0)
        print_message("%s is left\n", f->dir);
}

struct focal *focald_client(const struct focald_process *f, const char *topic)
{
    struct focal *focal;
    struct focal_options options = {.data = f->data, .control = f->control};
    if (focal_open(&focal, &options) < 0)
        fail_msg("%s", focal_last_error());
    assert_int_equal(focal_subscribe(focal, topic), 0);
    return focal;
}

char *focald_request(const struct focald_process *f, const char *request, bool ok)
{
    struct focal *focal = focald_client(f, "none/");
    char *reply = NULL;
    if (focal_request(focal, request, &reply, 5000) < 0) {
        print_log(f);
        fail_msg("%s: %s", request, focal_error(focal));
    }
    focal_close(focal);
    json_t *json = json_loads(reply, 0, NULL);
    assert_non_null(json);
    if (json_is_true(json_object_get(json, "ok")) != ok)
        fail_msg("%s answers %s", request, reply);
    json_decref(json);
    return reply;
}

double focald_status(const struct focald_process *f, const char *path)
{
    char *reply = focald_request(f, "{\"cmd\":\"status\"}", true);
    json_t *json = json_loads(reply, 0, NULL);
    json_t *at = json_object_get(json, "status");
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *save, *part = strtok_r(copy, ".", &save); part != NULL;
         part = strtok_r(NULL, ".", &save))
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
    if (!json_is_number(at))
        fail_msg("status has no number %s: %s", path, reply);
    double value = json_number_value(at);
    json_decref(json);
    free(reply);
    return value;
}

bool focald_logged(const struct focald_process *f, const char *text)
{
    char line[1024];
    bool found = false;
    FILE *log = fopen(f->log, "r");
    assert_non_null(log);
    while (!found && fgets(line, sizeof line, log) != NULL)
        found = strstr(line, text) != NULL;
    fclose(log);
    return found;
}

size_t focald_resident(const struct focald_process *f)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)f->pid);
    FILE *statm = fopen(path, "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%lu %lu", &size, &resident), 2);
    fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
