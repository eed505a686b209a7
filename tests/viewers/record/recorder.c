/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sndfile.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/viewers/record/pretender.h"

static const char *program(void)
{
    const char *path = getenv("FOCAL_RECORD");
    if (path == NULL)
        fail_msg("FOCAL_RECORD is not set: run this through meson test");
    return path;
}

void recorder_configure(struct recorder *r, const char *data, const char *config)
{
    FILE *file = fopen(r->config, "w");
    assert_non_null(file);
    fprintf(file, "[focald]\ndata = %s\n%s%s", data,
            strstr(config, "min_free") == NULL ? "[retention]\nmin_free = 0\n" : "", config);
    assert_int_equal(fclose(file), 0);
}

void recorder_prepare(struct recorder *r, const char *parent, const struct pretender *p,
                      const char *data, const char *config)
{
    memset(r, 0, sizeof *r);
    if (parent == NULL) /* memory, where there is some: a test should not wait for a disk */
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(r->dir, sizeof r->dir, "%s/focal-record-XXXXXX", parent);
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->history, sizeof r->history, "%s/history", r->dir);
    snprintf(r->config, sizeof r->config, "%s/record.conf", r->dir);
    snprintf(r->log, sizeof r->log, "%s/log", r->dir);
    recorder_configure(r, p != NULL ? p->data : data, config);
}

void recorder_start(struct recorder *r, long limit_bytes)
{
    const char *path = program();
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(r->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 2);
    if (limit_bytes > 0) {
        struct rlimit limit = {(rlim_t)limit_bytes, (rlim_t)limit_bytes};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    execl(path, path, "--config", r->config, "--dir", r->history, "run", (char *)NULL);
    _exit(127);
}

int recorder_stop(struct recorder *r)
{
    int status = 0;
    double until = seconds() + 30;
    kill(r->pid, SIGTERM);
    while (waitpid(r->pid, &status, WNOHANG) == 0) {
        if (seconds() > until) {
            recorder_kill(r);
            return -1;
        }
        usleep(2000);
    }
    r->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void recorder_kill(struct recorder *r)
{
    if (r->pid <= 0)
        return;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

bool recorder_lives(struct recorder *r)
{
    return waitpid(r->pid, NULL, WNOHANG) == 0;
}

void recorder_clean(struct recorder *r)
{
    char command[300];
    recorder_kill(r);
    snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
    if (r->dir[0] != '\0' && system(command) != 0)
        print_message("%s is left\n", r->dir);
}

void recorder_print_log(const struct recorder *r)
{
    char line[1024];
    FILE *log = fopen(r->log, "r");
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        print_message("focal-record: %s", line);
    if (log != NULL)
        fclose(log);
}

bool recorder_logged(const struct recorder *r, const char *text)
{
    char line[1024];
    bool found = false;
    FILE *log = fopen(r->log, "r");
    while (log != NULL && !found && fgets(line, sizeof line, log) != NULL)
        found = strstr(line, text) != NULL;
    if (log != NULL)
        fclose(log);
    return found;
}

void recorder_wait_log(const struct recorder *r, const char *text)
{
    double until = seconds() + 40;
    while (!recorder_logged(r, text)) {
        if (seconds() > until) {
            recorder_print_log(r);
            fail_msg("not logged: %s", text);
        }
        usleep(20000);
    }
}

char *recorder_run(const struct recorder *r, int *ret_status, const char *format, ...)
{
    char command[1500], rest[800];
    va_list args;
    va_start(args, format);
    vsnprintf(rest, sizeof rest, format, args);
    va_end(args);
    snprintf(command, sizeof command, "%s --config %s --dir %s %s 2>&1", program(), r->config,
             r->history, rest);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = 0, capacity = 1 << 20;
    char *text = malloc(capacity + 1);
    assert_non_null(text);
    size_t n;
    while (size < capacity && (n = fread(text + size, 1, capacity - size, pipe)) > 0)
        size += n;
    text[size] = '\0';
    int status = pclose(pipe);
    if (ret_status != NULL)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return text;
}

static sqlite3_stmt *ask(const struct recorder *r, sqlite3 **ret_db, const char *sql)
{
    char path[300];
    sqlite3_stmt *q;
    snprintf(path, sizeof path, "%s/history.db", r->history);
    if (sqlite3_open_v2(path, ret_db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        sqlite3_close(*ret_db);
        return NULL;
    }
    sqlite3_busy_timeout(*ret_db, 10000);
    if (sqlite3_prepare_v2(*ret_db, sql, -1, &q, NULL) == SQLITE_OK) {
        if (sqlite3_step(q) == SQLITE_ROW)
            return q;
        sqlite3_finalize(q);
    }
    sqlite3_close(*ret_db);
    return NULL;
}

int64_t recorder_number(const struct recorder *r, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q = ask(r, &db, sql);
    if (q == NULL)
        return -1;
    int64_t value = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return value;
}

char *recorder_text(const struct recorder *r, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q = ask(r, &db, sql);
    if (q == NULL)
        fail_msg("no answer to %s", sql);
    const char *text = (const char *)sqlite3_column_text(q, 0);
    char *copy = strdup(text != NULL ? text : "");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return copy;
}

void recorder_wait(const struct recorder *r, const char *sql, int64_t least)
{
    double until = seconds() + 40;
    int64_t value;
    while ((value = recorder_number(r, sql)) < least) {
        if (seconds() > until) {
            recorder_print_log(r);
            fail_msg("%s: %lld, not %lld", sql, (long long)value, (long long)least);
        }
        usleep(5000);
    }
}

sqlite3 *recorder_lock(const struct recorder *r)
{
    sqlite3 *db;
    char path[300];
    snprintf(path, sizeof path, "%s/history.db", r->history);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

void recorder_must_be_whole(const struct recorder *r)
{
    int status;
    char *text = recorder_run(r, &status, "verify");
    if (status != 0) {
        recorder_print_log(r);
        fail_msg("%s", text);
    }
    free(text);
}

float *recorder_samples(const struct recorder *r, const char *file, size_t *ret_n)
{
    char path[700];
    SF_INFO info = {.format = 0};
    snprintf(path, sizeof path, "%s/%s", r->history, file);
    SNDFILE *sound = sf_open(path, SFM_READ, &info);
    if (sound == NULL)
        fail_msg("%s: %s", path, sf_strerror(NULL));
    assert_int_equal(info.samplerate, 16000);
    assert_int_equal(info.channels, 1);
    float *samples = calloc((size_t)info.frames + 1, sizeof *samples);
    assert_non_null(samples);
    assert_int_equal(sf_readf_float(sound, samples, info.frames), info.frames);
    sf_close(sound);
    *ret_n = (size_t)info.frames;
    return samples;
}
