/* SPDX-License-Identifier: Apache-2.0
 * Another program asked for the doctor: bounded in time and in what it may say. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ipc/doctor.h"

extern char **environ;

struct stream {
    int fd; /* -1: at its end */
    char *text;
    size_t used;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What does not fit is read and dropped, so that the program can end. */
static void take(struct stream *s, size_t size)
{
    char dropped[4096];
    size_t room = size - 1 - s->used;
    ssize_t n =
        room > 0 ? read(s->fd, s->text + s->used, room) : read(s->fd, dropped, sizeof dropped);
    if (n > 0 && room > 0)
        s->used += (size_t)n;
    if (n <= 0 && !(n < 0 && errno == EINTR)) {
        close(s->fd);
        s->fd = -1;
    }
    s->text[s->used] = '\0';
}

static bool read_all(struct stream streams[2], size_t size, int64_t end_ms)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        struct pollfd fds[2] = {{.fd = streams[0].fd, .events = POLLIN},
                                {.fd = streams[1].fd, .events = POLLIN}};
        int64_t rest = end_ms - now_ms();
        if (rest <= 0)
            return false;
        if (poll(fds, 2, (int)rest) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (streams[i].fd >= 0 && fds[i].revents != 0)
                take(&streams[i], size);
    }
    return true;
}

static int start(char *const argv[], int out, int err, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    int code = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

int doctor_run(char *const argv[], char *out, char *err, size_t size, int timeout_ms)
{
    int pipes[2][2], status = -1;
    pid_t pid;
    out[0] = err[0] = '\0';
    if (pipe2(pipes[0], O_CLOEXEC) != 0)
        return -1;
    if (pipe2(pipes[1], O_CLOEXEC) != 0) {
        close(pipes[0][0]);
        close(pipes[0][1]);
        return -1;
    }
    int code = start(argv, pipes[0][1], pipes[1][1], &pid);
    close(pipes[0][1]);
    close(pipes[1][1]);
    struct stream streams[2] = {{pipes[0][0], out, 0}, {pipes[1][0], err, 0}};
    bool whole = code == 0 && read_all(streams, size, now_ms() + timeout_ms);
    for (int i = 0; i < 2; i++)
        if (streams[i].fd >= 0)
            close(streams[i].fd);
    if (code != 0)
        return -1;
    if (!whole)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return whole && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
