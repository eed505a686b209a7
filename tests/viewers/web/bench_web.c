/* SPDX-License-Identifier: Apache-2.0
 * bench_web FOCAL_WEB SPEAKER: what 50 browsers cost focal-web's processor beyond the sending of
 * the bytes. Each watches one stream and half of them listen. The sending alone is measured in the
 * same run: one thread that writes as many bytes, in pieces of the same mean size, to 50 sockets.
 * The goal is at most 10 % of a core. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BROWSERS = 50, SETTLE_S = 3, MEASURE_S = 20, DRAIN_BYTES = 1 << 18 };

static const double goal = 0.10;

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* User and system time of a process, in seconds. */
static double cpu_s(pid_t pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    char *after = strrchr(text, ')');
    if (after == NULL ||
        sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static pid_t spawn(char *const *argv, int *ret_out)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        close(ends[0]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    *ret_out = ends[0];
    return pid;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return fd;
}

/* A text command; a mask of zeros is a mask. */
static bool command(int fd, const char *text)
{
    unsigned char frame[256] = {0x81, (unsigned char)(0x80 | strlen(text))};
    memcpy(frame + 6, text, strlen(text));
    return write(fd, frame, 6 + strlen(text)) == (ssize_t)(6 + strlen(text));
}

static int open_browser(int port, bool listens)
{
    char text[1024];
    int fd = connect_to(port);
    int n = snprintf(text, sizeof text,
                     "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                     "Sec-WebSocket-Protocol: focal\r\n\r\n",
                     port);
    if (fd < 0 || write(fd, text, (size_t)n) != n || read(fd, text, 12) != 12 ||
        memcmp(text + 9, "101", 3) != 0)
        return -1;
    if (!command(fd, "{\"cmd\":\"watch\"}") ||
        (listens && !command(fd, "{\"cmd\":\"listen\",\"stream\":\"room0\"}")))
        return -1;
    return fd;
}

/* Reads whatever comes for a time. Returns the bytes. */
static double drain(struct pollfd *fds, int n, double seconds)
{
    static char buffer[DRAIN_BYTES];
    double bytes = 0, end = now_s(CLOCK_MONOTONIC) + seconds;
    while (now_s(CLOCK_MONOTONIC) < end) {
        if (poll(fds, (nfds_t)n, 100) <= 0)
            continue;
        for (int i = 0; i < n; i++) {
            ssize_t got =
                (fds[i].revents & POLLIN) != 0 ? read(fds[i].fd, buffer, sizeof buffer) : 0;
            bytes += got > 0 ? (double)got : 0;
        }
    }
    return bytes;
}

struct sending {
    int fds[BROWSERS];
    double bytes;
    size_t piece;
    double cpu_s; /* result */
};

static void *send_all(void *arg)
{
    struct sending *s = arg;
    char *piece = calloc(1, s->piece);
    double begin = now_s(CLOCK_THREAD_CPUTIME_ID), sent = 0;
    for (int i = 0; piece != NULL && sent < s->bytes; i = (i + 1) % BROWSERS) {
        ssize_t n = write(s->fds[i], piece, s->piece);
        if (n <= 0)
            break;
        sent += (double)n;
    }
    s->cpu_s = sent >= s->bytes ? now_s(CLOCK_THREAD_CPUTIME_ID) - begin : -1;
    for (int i = 0; i < BROWSERS; i++)
        close(s->fds[i]);
    free(piece);
    return NULL;
}

/* The processor's time of sending alone; -1 when it could not be measured. */
static double sending_alone_s(double bytes, size_t piece)
{
    struct sending s = {.bytes = bytes, .piece = piece};
    struct pollfd fds[BROWSERS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, BROWSERS) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        return -1;
    for (int i = 0; i < BROWSERS; i++) {
        fds[i] = (struct pollfd){connect_to(ntohs(address.sin_port)), POLLIN, 0};
        s.fds[i] = accept(listener, NULL, NULL);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_all, &s) != 0)
        return -1;
    for (double got = 0; got < bytes;) {
        double more = drain(fds, BROWSERS, 0.2);
        if (more == 0)
            break;
        got += more;
    }
    pthread_join(thread, NULL);
    close(listener);
    for (int i = 0; i < BROWSERS; i++)
        close(fds[i].fd);
    return s.cpu_s;
}

static int start(char **argv, char *dir, pid_t *ret_speaker, pid_t *ret_web)
{
    char data[128], control[128], line[128];
    int out;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(data, sizeof data, "ipc://%s/data", dir);
    snprintf(control, sizeof control, "ipc://%s/control", dir);
    char *const speaker[] = {argv[2], dir, NULL};
    char *const web[] = {argv[1], "--config",  "/dev/null", "--listen",  "127.0.0.1:0", "--data",
                         data,    "--control", control,     "--history", "none",        NULL};
    *ret_speaker = spawn(speaker, &out);
    *ret_web = spawn(web, &out);
    ssize_t n = *ret_web > 0 ? read(out, line, sizeof line - 1) : -1;
    line[n > 0 ? n : 0] = '\0';
    char *colon = strrchr(line, ':');
    return colon != NULL ? atoi(colon + 1) : -1;
}

static int measure(int port, pid_t web)
{
    struct pollfd fds[BROWSERS];
    for (int i = 0; i < BROWSERS; i++) {
        fds[i] = (struct pollfd){open_browser(port, i % 2 == 0), POLLIN, 0};
        if (fds[i].fd < 0) {
            fprintf(stderr, "browser %d is not let in\n", i);
            return 1;
        }
    }
    drain(fds, BROWSERS, SETTLE_S);
    double cpu = cpu_s(web), wall = now_s(CLOCK_MONOTONIC);
    double bytes = drain(fds, BROWSERS, MEASURE_S);
    cpu = cpu_s(web) - cpu;
    wall = now_s(CLOCK_MONOTONIC) - wall;
    /* a hop is seven packets for who watches, nine for who listens */
    size_t piece = (size_t)(bytes / wall * 0.5 / BROWSERS / 8);
    double alone = sending_alone_s(bytes, piece);
    double excess = (cpu - alone) / wall;
    printf("%d browsers, %.1f MB/s: %.1f %% of a core, sending alone %.1f %%, excess %.1f %% (goal "
           "%.0f %%)\n",
           BROWSERS, bytes / wall * 1e-6, 100 * cpu / wall, 100 * alone / wall, 100 * excess,
           100 * goal);
    bool complete = bytes / wall > 0.7 * BROWSERS * (44e3 + 64e3); /* else little was measured */
    if (!complete)
        fprintf(stderr, "the browsers got too little: this machine is too busy to measure on\n");
    return complete && alone >= 0 && excess <= goal ? 0 : 1;
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/bench-web-XXXXXX", path[64];
    pid_t speaker = -1, web = -1;
    if (argc < 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int port = start(argv, dir, &speaker, &web);
    int code = port > 0 ? measure(port, web) : 1;
    if (web > 0)
        kill(web, SIGTERM);
    if (speaker > 0)
        kill(speaker, SIGTERM);
    while (wait(NULL) > 0)
        ;
    static const char *const left[] = {"data", "control", "lock"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, left[i]);
        unlink(path);
    }
    rmdir(dir);
    return code;
}
