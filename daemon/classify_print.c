/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/classify_print.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

void classify_top(const struct classified_clip *clip, int n_classes, int k,
                  struct classify_top *ret)
{
    k = k < (int)ARRAY_LEN(ret->index) ? k : (int)ARRAY_LEN(ret->index);
    ret->n = 0;
    for (int i = 0; i < n_classes && !clip->silence; i++) {
        int at = ret->n;
        while (at > 0 && clip->p[i] > clip->p[ret->index[at - 1]])
            at--;
        if (at >= k)
            continue;
        if (ret->n < k)
            ret->n++;
        memmove(&ret->index[at + 1], &ret->index[at],
                (size_t)(ret->n - 1 - at) * sizeof ret->index[0]);
        ret->index[at] = i;
    }
}

/* JSON */

/* Seven digits say all that a float holds of a probability. A number that JSON cannot say is null.
 */
static json_t *number(float value)
{
    if (!isfinite(value))
        return json_null();
    char text[32];
    double rounded = (double)value;
    snprintf(text, sizeof text, "%.7g", rounded);
    sscanf(text, "%lf", &rounded);
    return json_real(rounded);
}

static json_t *seconds(size_t samples, int rate_hz)
{
    return json_real((double)samples / rate_hz);
}

static json_t *windows_json(const struct classified_clip *clip, const struct model_info *info)
{
    json_t *windows = json_array();
    int rate = clip->clip.rate_hz;
    for (int i = 0; i < clip->n_windows; i++) {
        const struct classified_window *w = &clip->windows[i];
        json_array_append_new(
            windows, json_pack("{s:o, s:o, s:s?, s:o, s:o, s:b, s:b}", "start_s",
                               seconds(w->first, rate), "end_s", seconds(w->first + w->count, rate),
                               "label", w->silence || w->unknown ? NULL : info->labels[w->best],
                               "p", w->silence ? json_null() : number(w->p), "p_paper",
                               w->silence ? json_null() : number(w->p_paper), "silence",
                               (int)w->silence, "unknown", (int)w->unknown));
    }
    return windows;
}

static json_t *top_json(const struct classified_clip *clip, const struct model_info *info,
                        const struct classify_top *top)
{
    json_t *list = json_array();
    for (int i = 0; i < top->n; i++) {
        int k = top->index[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:o}", "label", info->labels[k], "p",
                                        number(clip->p[k]), "p_paper", number(clip->p_paper[k])));
    }
    return list;
}

int classify_print_json(FILE *to, const char *file, const struct classified_clip *clip,
                        const struct model_info *info, const struct classify_top *top,
                        const char *wav, const char *png)
{
    char name[4096 * 3];
    utf8_clean(file, name, sizeof name);
    int best = top->n > 0 ? top->index[0] : -1;
    json_t *line =
        json_pack("{s:s, s:s?, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:I, s:s, s:s}", "file",
                  name, "label", best < 0 || clip->unknown ? NULL : info->labels[best], "unknown",
                  (int)clip->unknown, "score", number(clip->score), "p",
                  best < 0 ? json_null() : number(clip->p[best]), "p_paper",
                  best < 0 ? json_null() : number(clip->p_paper[best]), "top",
                  top_json(clip, info, top), "windows", windows_json(clip, info), "duration_s",
                  seconds(clip->clip.n, clip->clip.rate_hz), "rate_hz", clip->clip.file_rate_hz,
                  "channels", clip->clip.file_channels, "bad_samples", (json_int_t)clip->clip.bad,
                  "model", info->name, "hash", info->hash);
    char clean[4096 * 3];
    if (line != NULL && wav != NULL) {
        utf8_clean(wav, clean, sizeof clean);
        json_object_set_new(line, "wav", json_string(clean));
    }
    if (line != NULL && png != NULL) {
        utf8_clean(png, clean, sizeof clean);
        json_object_set_new(line, "png", json_string(clean));
    }
    if (line == NULL)
        return -ENOMEM;
    int r = json_dumpf(line, to, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    putc('\n', to);
    return r < 0 ? -EIO : 0;
}

/* Lines for people */

/* Appends to the text in ret; what does not fit is left out. */
static void append(char *ret, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *ret, size_t size, const char *format, ...)
{
    size_t n = strlen(ret);
    va_list args;
    va_start(args, format);
    vsnprintf(ret + n, size - n, format, args);
    va_end(args);
}

/* Those from number `first` of the top on. */
static void others_text(const struct classified_clip *clip, const struct model_info *info,
                        const struct classify_top *top, int first, char *ret, size_t size)
{
    for (int i = first; i < top->n; i++)
        append(ret, size, "%s%s %.0f %%", i > first ? ", " : "", info->labels[top->index[i]],
               100 * (double)clip->p[top->index[i]]);
}

/* Characters, not bytes: columns line up with any alphabet that is one column wide. */
static int columns(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

void classify_print_line(FILE *to, const char *file, int width, const struct classified_clip *clip,
                         const struct model_info *info, const struct classify_top *top)
{
    char name[4096], others[1024] = "";
    utf8_printable(file, name, sizeof name);
    int pad = width - columns(name);
    fprintf(to, "%s%*s  ", name, pad > 0 ? pad : 0, "");
    if (clip->silence) {
        fprintf(to, "silence\n");
        return;
    }
    others_text(clip, info, top, clip->unknown ? 0 : 1, others, sizeof others);
    if (clip->unknown)
        fprintf(to, "%-18s %5s   nearest to %s\n", "unknown", "", others);
    else
        fprintf(to, "%-18s %3.0f %%%s%s\n", info->labels[top->index[0]],
                100 * (double)clip->p[top->index[0]], others[0] != '\0' ? "   then " : "", others);
    for (int i = 0; i < clip->n_windows && clip->n_windows > 1; i++) {
        const struct classified_window *w = &clip->windows[i];
        double rate = clip->clip.rate_hz;
        fprintf(to, "%10.1f s to %.1f s  ", (double)w->first / rate,
                (double)(w->first + w->count) / rate);
        if (w->silence || w->unknown)
            fprintf(to, "%s\n", w->silence ? "silence" : "unknown");
        else
            fprintf(to, "%s %.0f %%\n", info->labels[w->best], 100 * (double)w->p);
    }
}

void classify_title(const char *file, const struct classified_clip *clip,
                    const struct model_info *info, const struct classify_top *top, char *ret,
                    size_t size)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    if (top->n == 0)
        snprintf(ret, size, "%s: silence", name);
    else if (clip->unknown)
        snprintf(ret, size, "%s: unknown", name);
    else
        snprintf(ret, size, "%s: %s, %.0f %%", name, info->labels[top->index[0]],
                 100 * (double)clip->p[top->index[0]]);
}

void classify_subtitle(const struct classified_clip *clip, const struct model_info *info,
                       const struct classify_top *top, double quantile, char *ret, size_t size)
{
    ret[0] = '\0';
    if (top->n > (clip->unknown ? 0 : 1)) {
        append(ret, size, clip->unknown ? "nearest to " : "then ");
        others_text(clip, info, top, clip->unknown ? 0 : 1, ret, size);
        append(ret, size, "   ·   ");
    }
    if (info->interpreter == INTERPRETER_PIQ)
        append(ret, size, "model %s   ·   mask: PIQ's", info->name);
    else
        append(ret, size, "model %s   ·   mask: map at or above its %g-quantile", info->name,
               quantile);
}
