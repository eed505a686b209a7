/* SPDX-License-Identifier: Apache-2.0
 * focalctl listen: what is heard, as it is heard. One line a label, an event, a problem that comes
 * or goes; with --json each header as it came. */
#include "ipc/focalctl.h"
#include "ipc/message.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_STREAMS = 64 };

static volatile sig_atomic_t ended;

static void end(int signal)
{
    (void)signal;
    ended = 1;
}

/* The problem told last of each stream, so that health shows changes and not every second. */
struct problems {
    struct {
        char stream[64], problem[MESSAGE_PROBLEM_BYTES];
    } list[MAX_STREAMS];
    int n;
};

static bool problem_is_new(struct problems *p, const char *stream, const char *problem)
{
    int i = 0;
    while (i < p->n && strcmp(p->list[i].stream, stream) != 0)
        i++;
    if (i == MAX_STREAMS)
        return problem[0] != '\0';
    if (i == p->n) {
        p->n++;
        snprintf(p->list[i].stream, sizeof p->list[i].stream, "%s", stream);
        p->list[i].problem[0] = '\0';
    }
    if (strcmp(p->list[i].problem, problem) == 0)
        return false;
    snprintf(p->list[i].problem, sizeof p->list[i].problem, "%s", problem);
    return true;
}

static void print_start(const struct focal_message *m, int64_t t_ns)
{
    char clock[16];
    time_t s = (time_t)(t_ns / 1000000000);
    struct tm tm;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&s, &tm));
    printf("%s.%d  %-12s ", clock, (int)(t_ns / 100000000 % 10), m->stream);
}

static double number(struct focal *f, const char *path, double otherwise)
{
    double value;
    return focal_number(f, path, &value) == 0 ? value : otherwise;
}

static const char *string(struct focal *f, const char *path, const char *otherwise)
{
    const char *value;
    return focal_string(f, path, &value) == 0 ? value : otherwise;
}

static int64_t end_of(const struct focal_message *m)
{
    return m->t_ns + (int64_t)(m->count * 62500);
}

/* The time of a label is the end of its window: when it was heard. */
static void show_label(struct focal *f, const struct focal_message *m)
{
    print_start(m, end_of(m));
    if (m->lost > 0)
        printf("(%llu missed) ", (unsigned long long)m->lost);
    if (number(f, "silence", 0) != 0) {
        printf("silence\n");
        return;
    }
    if (number(f, "unknown", 0) != 0) {
        printf("unknown, nearest to ");
        focalctl_print_text(string(f, "top.0.label", "?"), stdout);
        printf(" %.0f %%\n", 100 * number(f, "top.0.p", 0));
        return;
    }
    for (int i = 0; i < 3; i++) {
        char label[32], p[32];
        snprintf(label, sizeof label, "top.%d.label", i);
        snprintf(p, sizeof p, "top.%d.p", i);
        double probability = number(f, p, -1);
        if (probability < 0 || (i > 0 && probability < 0.05))
            break;
        printf("%s", i > 0 ? ", " : "");
        focalctl_print_text(string(f, label, "?"), stdout);
        printf(" %.0f %%", 100 * probability);
    }
    putchar('\n');
}

static void show_event(struct focal *f, const struct focal_message *m)
{
    bool is_end = number(f, "ended", 0) != 0;
    double samples = number(f, "end", 0) - number(f, "onset", 0);
    print_start(m, is_end ? end_of(m) : m->t_ns);
    printf("%s ", is_end ? "<<" : ">>");
    focalctl_print_text(string(f, "label", "?"), stdout);
    if (is_end)
        printf(" ended after %.1f s, peak %.0f %%\n", samples / 16000,
               100 * number(f, "p_peak", 0));
    else
        printf(" begins, %.0f %%\n", 100 * number(f, "p", 0));
}

static void show_health(struct focal *f, const struct focal_message *m, struct problems *problems)
{
    const char *problem = string(f, "problem", "");
    if (!problem_is_new(problems, m->stream, problem))
        return;
    print_start(m, m->t_ns);
    printf("!! ");
    focalctl_print_text(problem[0] != '\0' ? problem : "well again", stdout);
    putchar('\n');
}

static void show(struct focalctl *ctl, const struct focal_message *m, struct problems *problems)
{
    if (ctl->json)
        printf("%s\n", m->header);
    else if (strcmp(m->topic, "label") == 0)
        show_label(ctl->focal, m);
    else if (strcmp(m->topic, "event") == 0)
        show_event(ctl->focal, m);
    else if (strcmp(m->topic, "health") == 0)
        show_health(ctl->focal, m, problems);
    else {
        print_start(m, m->t_ns);
        printf("%s #%llu, %llu samples from %llu, %zu bytes\n", m->topic,
               (unsigned long long)m->seq, (unsigned long long)m->count,
               (unsigned long long)m->first, m->payload_bytes);
    }
    fflush(stdout);
}

static int subscribe(struct focalctl *ctl, char **topics, int n)
{
    static const char *const usual[] = {"label/", "event/", "health/"};
    int code = 0;
    for (int i = 0; code == 0 && n == 0 && i < 3; i++)
        code = focal_subscribe(ctl->focal, usual[i]);
    for (int i = 0; code == 0 && i < n; i++)
        code = focal_subscribe(ctl->focal, topics[i]);
    if (code != 0)
        fprintf(stderr, "focalctl: %s\n", focal_error(ctl->focal));
    return code;
}

int focalctl_listen(struct focalctl *ctl, char **topics, int n)
{
    struct problems *problems = calloc(1, sizeof *problems);
    if (problems == NULL || subscribe(ctl, topics, n) != 0) {
        free(problems);
        return EXIT_FAILURE;
    }
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while (!ended && !ferror(stdout)) {
        struct focal_message m;
        int code =
            focal_next(ctl->focal, &m, 500); /* a signal between check and wait: 0.5 s late */
        if (code == 1)
            show(ctl, &m, problems);
        else if (code < 0 && code != -EINTR)
            fprintf(stderr, "focalctl: %s\n", focal_error(ctl->focal));
    }
    free(problems);
    return ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
