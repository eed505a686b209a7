/* SPDX-License-Identifier: Apache-2.0
 * focalctl doctor: the order of the checks, and how they are told. */
#include "ipc/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const char *const verdicts[] = {"ok", "warn", "fail"};

/* What others wrote may hold anything: control characters do not reach the terminal. */
static void make_harmless(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        memset(p, ' ', utf8_control(p));
}

void doctor_find(struct doctor *d, enum verdict verdict, const char *check, const char *mend,
                 const char *format, ...)
{
    if (d->n == DOCTOR_FINDINGS)
        return;
    struct finding *f = &d->findings[d->n++];
    va_list args;
    f->verdict = verdict;
    f->check = check;
    snprintf(f->mend, sizeof f->mend, "%s", mend != NULL ? mend : "");
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    make_harmless(f->text);
    make_harmless(f->mend);
}

char *doctor_line(char **text)
{
    char *line = *text;
    if (line == NULL || line[0] == '\0')
        return NULL;
    char *end = strchr(line, '\n');
    *text = end != NULL ? end + 1 : NULL;
    if (end != NULL)
        *end = '\0';
    return line;
}

static int print_json(const struct doctor *d, bool well)
{
    json_t *list = json_array();
    for (int i = 0; i < d->n; i++) {
        const struct finding *f = &d->findings[i];
        /* a file's name need not be UTF-8 */
        json_t *text = json_string(f->text), *mend = json_string(f->mend);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o}", "check", f->check, "verdict",
                                        verdicts[f->verdict], "text",
                                        text != NULL ? text : json_string("(not UTF-8)"), "mend",
                                        mend != NULL ? mend : json_string("(not UTF-8)")));
    }
    json_t *all = json_pack("{s:b, s:o}", "ok", (int)well, "checks", list);
    char *text = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    if (text == NULL) {
        fputs("focalctl: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    puts(text);
    free(text);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_text(const struct doctor *d, bool well)
{
    for (int i = 0; i < d->n; i++) {
        const struct finding *f = &d->findings[i];
        printf("%-4s  %-13s  %s%s%s\n", verdicts[f->verdict], f->check, f->text,
               f->mend[0] != '\0' ? "; mend: " : "", f->mend);
    }
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int focalctl_doctor(struct focalctl *ctl)
{
    static void (*const checks[])(struct doctor *) = {
        doctor_check_sockets,    doctor_check_daemon,        doctor_check_streams,
        doctor_check_servers,    doctor_check_configuration, doctor_check_disk,
        doctor_check_permissions};
    struct doctor *d = calloc(1, sizeof *d);
    if (d == NULL) {
        fputs("focalctl: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    d->ctl = ctl;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](d);
    bool well = true;
    for (int i = 0; i < d->n; i++)
        well = well && d->findings[i].verdict != DOCTOR_FAIL;
    int status = ctl->json ? print_json(d, well) : print_text(d, well);
    json_decref(d->status);
    free(d);
    return status;
}
