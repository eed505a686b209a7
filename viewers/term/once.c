/* SPDX-License-Identifier: Apache-2.0
 * focal-term --once: the next label, for scripts. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "viewers/term/options.h"
#include "viewers/term/terminal.h"
#include "viewers/term/text.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The header as one line of ASCII, whatever spaces and characters it came with. */
static int print_json(const struct focal_message *m)
{
    json_t *header = json_loadb(m->header, m->header_bytes, 0, NULL);
    char *text =
        header != NULL
            ? json_dumps(header, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))
            : NULL;
    json_decref(header);
    if (text == NULL) {
        fprintf(stderr, "focal-term: the label could not be written as JSON: out of memory?\n");
        return EXIT_FAILURE;
    }
    puts(text);
    free(text);
    return EXIT_SUCCESS;
}

static int print_text(struct focal *f, const struct focal_message *m)
{
    char stream[LABEL_BYTES], label[LABEL_BYTES];
    const char *said;
    double silence = 0, unknown = 0, p = 0;
    bool unicode = terminal_is_unicode();
    text_clean(m->stream, unicode, stream, sizeof stream);
    if ((focal_number(f, "silence", &silence) == 0 && silence != 0) ||
        focal_number(f, "top.0.p", &p) != 0) {
        printf("%s: silence\n", stream);
        return EXIT_SUCCESS;
    }
    text_clean(focal_string(f, "top.0.label", &said) == 0 ? said : "(no name yet)", unicode, label,
               sizeof label);
    const bool is_unknown = focal_number(f, "unknown", &unknown) == 0 && unknown != 0;
    printf("%s: %s%s %.0f %%\n", stream, is_unknown ? "unknown, nearest to " : "", label,
           100 * fmin(fmax(p, 0), 1));
    return EXIT_SUCCESS;
}

static bool is_wanted(const struct options *o, const struct focal_message *m)
{
    return strcmp(m->topic, "label") == 0 &&
           (o->stream == NULL || strcmp(m->stream, o->stream) == 0);
}

static int wait_and_print(const struct options *o, struct focal *f)
{
    double end = now_s() + o->timeout_s;
    for (;;) {
        struct focal_message m;
        double rest = end - now_s();
        int code = rest > 0 ? focal_next(f, &m, (int)ceil(fmin(rest, 3600) * 1000)) : 0;
        if (code == 1 && is_wanted(o, &m))
            return o->json ? print_json(&m) : print_text(f, &m);
        if (code < 0 && code != -EINTR && code != -EPROTO) {
            fprintf(stderr, "focal-term: %s\n", focal_error(f));
            return EXIT_FAILURE;
        }
        if (now_s() >= end)
            break;
    }
    fprintf(
        stderr, "focal-term: no label%s%s came within %g s; is focald running? (focalctl doctor)\n",
        o->stream != NULL ? " of stream " : "", o->stream != NULL ? o->stream : "", o->timeout_s);
    return EXIT_FAILURE;
}

int once_run(const struct options *o)
{
    struct focal *f = NULL;
    char why[512], topic[80];
    if (options_connect(o, &f, why, sizeof why) < 0) {
        fprintf(stderr, "focal-term: %s\n", why);
        return EXIT_FAILURE;
    }
    snprintf(topic, sizeof topic, "label/%s", o->stream != NULL ? o->stream : "");
    int status = EXIT_FAILURE;
    if (focal_subscribe(f, topic) == 0)
        status = wait_and_print(o, f);
    else
        fprintf(stderr, "focal-term: %s\n", focal_error(f));
    focal_close(f);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "focal-term: standard output: cannot be written\n");
        status = EXIT_FAILURE;
    }
    return status;
}
