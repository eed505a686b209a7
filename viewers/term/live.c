/* SPDX-License-Identifier: Apache-2.0
 * focal-term as people see it: one loop over keys, signals and messages. */
#include <errno.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "viewers/term/options.h"
#include "viewers/term/terminal.h"
#include "viewers/term/text.h"
#include "viewers/term/view.h"

enum {
    GATHER_MS = 40, /* the messages of a hop come together: one drawing for all */
    MESSAGES_MAX = 500,
    SETTLE_MS = 5000, /* by then all streams of a daemon that starts have told of their health */
};

struct live {
    const struct options *options;
    struct terminal terminal;
    struct world world;
    struct view view;
    struct focal *focal;
    char picture_of[64];                    /* the stream whose spectrogram is subscribed */
    enum overlay overlay_of;                /* and what of it */
    int64_t heard_ms, drawn_ms, changed_ms; /* changed_ms 0: nothing to draw */
    double run;                             /* of the daemon; 0: unknown */
    int64_t run_ms;                         /* when it was new */
    int signals;
    bool silent, ended;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Topics of the stream on the screen: what nobody subscribes to is not computed. */

static void picture_topics(struct live *l, int (*change)(struct focal *, const char *))
{
    static const char *const overlays[] = {NULL, "map", "mask"};
    char topic[80];
    if (l->picture_of[0] == '\0')
        return;
    snprintf(topic, sizeof topic, "spec/%s", l->picture_of);
    change(l->focal, topic);
    if (overlays[l->overlay_of] == NULL)
        return;
    snprintf(topic, sizeof topic, "%s/%s", overlays[l->overlay_of], l->picture_of);
    change(l->focal, topic);
}

/* The frames of a picture that is held were of another timeline. */
static void follow_run(struct live *l)
{
    if (l->run == l->world.run)
        return;
    l->run = l->world.run;
    l->run_ms = now_ms();
    l->view.held = -1;
}

/* What somebody chose stays chosen, also while a daemon that was started anew tells of its streams
 * one after the other. */
static void follow_selection(struct live *l)
{
    struct view *v = &l->view;
    bool lost = l->options->stream == NULL && now_ms() - l->run_ms > SETTLE_MS;
    if (world_find(&l->world, v->selected) == NULL && l->world.n_streams > 0 &&
        (v->selected[0] == '\0' || lost))
        snprintf(v->selected, sizeof v->selected, "%s", l->world.streams[0]->name);
    if (strcmp(l->picture_of, v->selected) == 0 && l->overlay_of == v->overlay)
        return;
    picture_topics(l, focal_unsubscribe);
    const struct stream *s = world_find(&l->world, v->selected);
    if (s != NULL && s->picture != NULL)
        spectrum_forget_glow(s->picture);
    snprintf(l->picture_of, sizeof l->picture_of, "%s", v->selected);
    l->overlay_of = v->overlay;
    picture_topics(l, focal_subscribe);
}

static int connect_daemon(struct live *l, char *why, size_t why_size)
{
    static const char *const topics[] = {"label/", "event/", "health/", "info/"};
    int code = options_connect(l->options, &l->focal, why, why_size);
    for (size_t i = 0; i < sizeof topics / sizeof *topics && code == 0; i++)
        focal_subscribe(l->focal, topics[i]);
    return code;
}

/* Messages */

static void receive(struct live *l)
{
    struct focal_message m;
    for (int i = 0; i < MESSAGES_MAX; i++) {
        int code = focal_next(l->focal, &m, 0);
        if (code == 0)
            return;
        if (code == -EPROTO) {
            l->world.refused++;
            continue;
        }
        if (code < 0)
            return;
        int64_t now = now_ms();
        if (l->silent && l->view.ever)
            world_tell(&l->world, "focald is back");
        l->silent = false;
        l->view.ever = true;
        l->heard_ms = now;
        world_receive(&l->world, l->focal, &m);
        if (l->changed_ms == 0)
            l->changed_ms = now;
    }
    l->changed_ms = l->changed_ms == 0 ? now_ms() : l->changed_ms;
}

static void watch_silence(struct live *l)
{
    const int64_t silent = now_ms() - l->heard_ms;
    l->view.silent_s = (double)silent / 1000;
    if (silent < VIEW_SILENT_S * 1000)
        return;
    if (!l->silent && l->view.ever)
        world_tell(&l->world, "focald fell silent");
    l->silent = true;
}

/* Keys */

static void select_stream(struct live *l, int at)
{
    int n = l->world.n_streams;
    if (n == 0)
        return;
    snprintf(l->view.selected, sizeof l->view.selected, "%s",
             l->world.streams[(at % n + n) % n]->name);
    l->view.held = -1;
}

static int selected_index(const struct live *l)
{
    for (int i = 0; i < l->world.n_streams; i++)
        if (strcmp(l->world.streams[i]->name, l->view.selected) == 0)
            return i;
    return -1;
}

static void zoom(struct view *v, bool closer)
{
    static const double spans[] = {5, 10, 20, 40, 80};
    enum { SPANS = sizeof spans / sizeof *spans };
    int i = 0;
    while (i < SPANS && spans[i] < v->seconds)
        i++;
    if (closer)
        v->seconds = i > 0 ? spans[i - 1] : spans[0];
    else if (i < SPANS)
        v->seconds = spans[i] > v->seconds ? spans[i] : i + 1 < SPANS ? spans[i + 1] : spans[i];
}

static void hold(struct live *l)
{
    const struct stream *s = world_find(&l->world, l->view.selected);
    bool running = l->view.held < 0 && s != NULL && s->picture != NULL;
    l->view.held = running ? s->picture->newest : -1;
}

static void press(struct live *l, int key)
{
    int at = selected_index(l);
    if (key == 'q' || key == 'Q')
        l->ended = true;
    else if (key == 'm')
        l->view.overlay = (enum overlay)((l->view.overlay + 1) % OVERLAY_COUNT);
    else if (key == '+' || key == '=')
        zoom(&l->view, true);
    else if (key == '-')
        zoom(&l->view, false);
    else if (key == ' ')
        hold(l);
    else if (key == '\t' || key == KEY_RIGHT)
        select_stream(l, at + 1);
    else if (key == KEY_BTAB || key == KEY_LEFT)
        select_stream(l, at < 0 ? 0 : at - 1);
    else if (key >= '1' && key <= '9' && key - '1' < l->world.n_streams)
        select_stream(l, key - '1');
    else if (key == 'L' - '@')
        clearok(curscr, TRUE);
}

static void read_keys(struct live *l)
{
    int key;
    while (!l->ended && (key = getch()) != ERR)
        press(l, key);
}

/* Signals */

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void read_signals(struct live *l)
{
    struct signalfd_siginfo info;
    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTSTP)
            terminal_suspend();
        else if (info.ssi_signo == SIGCONT)
            terminal_restore();
        else if (info.ssi_signo == SIGWINCH)
            terminal_follow_size();
        else
            l->ended = true;
    }
}

/* The loop */

static void draw(struct live *l)
{
    view_draw(&l->terminal, &l->world, &l->view);
    l->drawn_ms = now_ms();
    l->changed_ms = 0;
}

/* Until the next drawing is due: what changed is drawn soon, and the clock each second. */
static int wait_ms(const struct live *l)
{
    int64_t due = l->drawn_ms - l->drawn_ms % 1000 + 1000, now = now_ms();
    if (l->changed_ms != 0 && l->changed_ms + GATHER_MS < due)
        due = l->changed_ms + GATHER_MS;
    return due > now ? (int)(due - now) : 0;
}

static void loop(struct live *l)
{
    draw(l);
    while (!l->ended) {
        struct pollfd fds[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = l->signals, .events = POLLIN},
                                {.fd = focal_fd(l->focal), .events = POLLIN}};
        int wait = wait_ms(l);
        poll(fds, 3, wait);
        if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            return; /* the terminal is gone */
        bool asked = fds[0].revents != 0 || fds[1].revents != 0;
        read_signals(l);
        read_keys(l);
        receive(l);
        watch_silence(l);
        follow_run(l);
        follow_selection(l);
        if (!l->ended && (asked || wait_ms(l) == 0))
            draw(l);
    }
}

int live_run(const struct options *o)
{
    struct live *l = calloc(1, sizeof *l);
    char why[512] = "out of memory";
    int status = EXIT_FAILURE;
    if (l == NULL || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        fprintf(stderr, "focal-term: %s\n",
                l == NULL ? why : "needs a terminal; --once is for scripts");
        free(l);
        return EXIT_FAILURE;
    }
    bool unicode = terminal_is_unicode() && !o->ascii;
    l->options = o;
    l->signals = open_signals(); /* before ZeroMQ's threads, which then leave them to us */
    l->heard_ms = now_ms();
    world_init(&l->world, unicode);
    l->view =
        (struct view){.overlay = o->overlay, .seconds = o->seconds, .held = -1, .where = o->data};
    if (o->stream != NULL)
        snprintf(l->view.selected, sizeof l->view.selected, "%s", o->stream);
    if (l->signals >= 0 && connect_daemon(l, why, sizeof why) == 0 &&
        terminal_open(&l->terminal, o->colours, unicode, why, sizeof why) == 0) {
        loop(l);
        terminal_close();
        status = EXIT_SUCCESS;
    } else {
        fprintf(stderr, "focal-term: %s\n", why);
    }
    focal_close(l->focal);
    world_finish(&l->world);
    if (l->signals >= 0)
        close(l->signals);
    free(l);
    return status;
}
