/* SPDX-License-Identifier: Apache-2.0
 * T: frames of a window, F: bins, W: samples of a window.
 *
 * A clip's last samples that are fewer than a tenth of W (encoders add some) are no window of their
 * own, which would hear next to nothing: they belong to the window before, whose mask goes on. */
#include "daemon/classifier.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "daemon/analysis.h"
#include "daemon/open_model.h"
#include "dsp/spectrogram.h"
#include "dsp/stft.h"

struct job { /* a clip that is not done */
    struct classified_clip out;
    float scale; /* of the whole clip: what its picture is normalised by */
    int open;    /* windows not finished */
    bool all_added;
    double weight; /* samples in windows that are not silent */
    double score;  /* of these, each counting by its samples */
    struct job *next;
};

struct slot { /* a window that waits for the network */
    struct job *job;
    int window;
    float max; /* see struct analysis_window */
    float
        *spectrum; /* [rows][F][2]: T frames, and those that the window's own samples reach into */
};

enum { TAIL_SHARE = 10 };

struct classifier {
    struct classifier_config config;
    const struct model_info *info;
    size_t window, hop, tail, frames, rows, bins, map_cells;
    struct runner *runner;
    struct runner_result *results; /* [batch] */
    struct analysis *analysis;
    struct stft *stft;
    struct istft *istft;
    struct slot *slots; /* [batch] */
    int n_slots;        /* in use */
    struct job *oldest, *newest;
    float *samples;     /* [W] */
    float *logspec;     /* [T][F] for pictures */
    float *p, *p_paper; /* [n_classes] */
    float *piece;       /* [STFT hop] */
};

/* Life */

static int create_parts(struct classifier *c, struct error *error)
{
    struct stft_shape shape = analysis_shape(c->info);
    struct runner_config runner = {.backend = c->config.backend,
                                   .precision = c->config.precision,
                                   .threads = c->config.threads,
                                   .max_batch = c->config.batch};
    int r = analysis_create(&c->analysis, c->info, error);
    if (r == 0)
        r = stft_create(&c->stft, &shape, error);
    if (r == 0 && c->config.interpret)
        r = istft_create(&c->istft, &shape, error);
    if (r == 0)
        r = open_runner(&c->runner, c->config.model, &runner, error);
    return r;
}

static int create_buffers(struct classifier *c)
{
    size_t batch = (size_t)c->config.batch, classes = (size_t)c->info->n_classes;
    c->results = calloc(batch, sizeof *c->results);
    c->slots = calloc(batch, sizeof *c->slots);
    c->samples = memory_zeroed(c->window, sizeof(float));
    c->logspec = memory_zeroed(c->frames * c->bins, sizeof(float));
    c->p = memory_zeroed(classes, sizeof(float));
    c->p_paper = memory_zeroed(classes, sizeof(float));
    c->piece = memory_zeroed((size_t)c->info->preprocess.hop_length, sizeof(float));
    if (c->results == NULL || c->slots == NULL || c->samples == NULL || c->logspec == NULL ||
        c->p == NULL || c->p_paper == NULL || c->piece == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < batch; i++) {
        c->slots[i].spectrum = memory_zeroed(c->rows * c->bins, 2 * sizeof(float));
        if (c->slots[i].spectrum == NULL)
            return -ENOMEM;
    }
    return 0;
}

int classifier_create(struct classifier **ret, const struct classifier_config *config,
                      struct error *error)
{
    struct classifier *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ENOMEM, "classify: out of memory");
    c->config = *config;
    c->info = model_info(config->model);
    struct stft_shape shape = analysis_shape(c->info);
    int last = c->info->n_maps - 1;
    c->window = (size_t)c->info->preprocess.window_samples;
    c->hop = config->hop > 0 && config->hop < c->window ? config->hop : c->window;
    c->tail = c->window / TAIL_SHARE;
    c->frames = stft_frames(&shape, c->window);
    c->rows = stft_frames(&shape, c->window + c->tail) + 2;
    c->bins = (size_t)stft_bins(&shape);
    c->map_cells = (size_t)c->info->maps[last].rows * (size_t)c->info->maps[last].cols;
    int r = create_parts(c, error);
    if (r == 0 && create_buffers(c) < 0)
        r = error_set(error, ENOMEM, "classify: out of memory for %d windows", config->batch);
    if (r < 0) {
        classifier_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

static void job_destroy(struct job *job)
{
    if (job == NULL)
        return;
    clip_finish(&job->out.clip);
    for (int i = 0; job->out.windows != NULL && i < job->out.n_windows; i++)
        free(job->out.windows[i].map);
    free(job->out.windows);
    free(job->out.p);
    free(job->out.p_paper);
    free(job->out.interpreted);
    picture_destroy(job->out.picture);
    free(job);
}

void classifier_destroy(struct classifier *c)
{
    if (c == NULL)
        return;
    while (c->oldest != NULL) {
        struct job *next = c->oldest->next;
        job_destroy(c->oldest);
        c->oldest = next;
    }
    for (int i = 0; c->slots != NULL && i < c->config.batch; i++)
        free(c->slots[i].spectrum);
    runner_destroy(c->runner);
    analysis_destroy(c->analysis);
    stft_destroy(c->stft);
    istft_destroy(c->istft);
    free(c->results);
    free(c->slots);
    free(c->samples);
    free(c->logspec);
    free(c->p);
    free(c->p_paper);
    free(c->piece);
    free(c);
}

/* What a window adds to its clip */

/* The samples the window speaks for: the next one says more about what comes then. */
static size_t own_samples(const struct classifier *c, const struct job *job, int window)
{
    return window + 1 < job->out.n_windows ? c->hop : job->out.windows[window].count;
}

/* The last frame that reaches into n samples, and completes them: STFT hop * (t - 1) < n. */
static size_t last_frame(const struct classifier *c, size_t n)
{
    size_t hop = (size_t)c->info->preprocess.hop_length;
    return (n + hop - 1) / hop;
}

/* What sounds beyond the window, as it is and not padded, for the inverse STFT: its first frames
 * are needed to complete the window's own last samples. */
static void add_frames_beyond(struct classifier *c, const struct slot *slot)
{
    const struct clip *clip = &slot->job->out.clip;
    size_t first = slot->job->out.windows[slot->window].first;
    size_t last = last_frame(c, own_samples(c, slot->job, slot->window));
    for (size_t t = c->frames - 1; t <= last; t++)
        stft_frame_padded(c->stft, clip->samples + first, clip->n - first, t,
                          slot->spectrum + t * c->bins * 2);
}

/* mask × spectrum through the inverse STFT, at the level of the input. The mask's last row holds
 * for the frames beyond it. */
static void add_interpreted(struct classifier *c, struct job *job, const struct slot *slot,
                            const struct analysis_mask *mask)
{
    size_t hop = (size_t)c->info->preprocess.hop_length;
    size_t own = own_samples(c, job, slot->window), last = last_frame(c, own);
    float *out = job->out.interpreted + job->out.windows[slot->window].first;
    istft_reset(c->istft);
    for (size_t t = 0; t <= last; t++) {
        size_t row = t < c->frames ? t : c->frames - 1;
        float *spectrum = slot->spectrum + t * c->bins * 2;
        if (mask->soft != NULL)
            spectrogram_soft_mask(spectrum, mask->soft + row * c->bins, c->bins, 1 / slot->max,
                                  spectrum);
        else
            spectrogram_mask(spectrum, mask->mask + row * c->bins, c->bins, spectrum);
        istft_push(c->istft, spectrum, c->piece);
        if (t == 0)
            continue;
        size_t at = (t - 1) * hop;
        memcpy(out + at, c->piece, (own - at < hop ? own - at : hop) * sizeof(float));
    }
}

/* The picture of a clip is normalised by the clip's maximum, so that windows do not differ in
 * brightness; with one window this is the network's own spectrogram. */
static void add_to_picture(struct classifier *c, struct job *job, const struct slot *slot,
                           const struct analysis_mask *mask)
{
    size_t hop = (size_t)c->info->preprocess.hop_length,
           first = job->out.windows[slot->window].first;
    size_t own = last_frame(c, own_samples(c, job, slot->window));
    size_t frames = own < c->frames ? own : c->frames;
    const uint8_t *hard = mask != NULL && mask->soft == NULL ? mask->mask : NULL;
    spectrogram_log(slot->spectrum, frames * c->bins, job->scale, c->logspec);
    picture_add(job->out.picture, first, frames, c->logspec, mask != NULL ? mask->map : NULL, hard);
    size_t last_row = (c->frames - 1) * c->bins;
    for (size_t t = frames; t < own; t++) {
        spectrogram_log(slot->spectrum + t * c->bins * 2, c->bins, job->scale, c->logspec);
        picture_add(job->out.picture, first + t * hop, 1, c->logspec,
                    mask != NULL ? mask->map + last_row : NULL,
                    hard != NULL ? hard + last_row : NULL);
    }
}

/* Another of its windows may have failed before; the first one's error stays. */
static void fail_window(struct job *job, const struct error *why)
{
    if (!job->out.failed)
        job->out.error = *why;
    job->out.failed = true;
    job->open--;
}

static int finish_window(struct classifier *c, const struct slot *slot,
                         const struct runner_result *result, struct error *error)
{
    struct job *job = slot->job;
    struct error why;
    if (runner_check(c->runner, result, &why) < 0) {
        fail_window(job, &why);
        return 0;
    }
    struct classified_window *w = &job->out.windows[slot->window];
    int n = c->info->n_classes;
    softmax_scaled(result->cosines, n, c->info->preprocess.scale, c->p);
    softmax_scaled(result->cosines, n, 1, c->p_paper);
    w->best = 0;
    for (int i = 0; i < n; i++) {
        if (c->p[i] > c->p[w->best])
            w->best = i;
        job->out.p[i] += c->p[i] * (float)w->count;
        job->out.p_paper[i] += c->p_paper[i] * (float)w->count;
    }
    job->weight += (double)w->count;
    w->p = c->p[w->best];
    w->p_paper = c->p_paper[w->best];
    w->cosine = result->cosines[w->best];
    w->score =
        c->config.reject.score != REJECT_NONE
            ? reject_score(c->config.reject.score, result->cosines, n, c->info->preprocess.scale)
            : NAN;
    w->unknown = reject_is_unknown(&c->config.reject, w->score);
    job->score += (double)w->score * (double)w->count;
    const float *map = result->maps[c->info->n_maps - 1];
    w->map = malloc(c->map_cells * sizeof(float));
    if (w->map == NULL)
        return error_set(error, ENOMEM, "classify: out of memory");
    memcpy(w->map, map, c->map_cells * sizeof(float));
    if (c->config.interpret || c->config.picture) {
        struct analysis_mask mask;
        analysis_after(c->analysis, map, (float)c->config.quantile, &mask);
        if (c->config.picture)
            add_to_picture(c, job, slot, &mask);
        if (c->config.interpret) /* changes the spectrum */
            add_interpreted(c, job, slot, &mask);
    }
    job->open--;
    return 0;
}

static void finish_silence(struct classifier *c, const struct slot *slot)
{
    slot->job->out.windows[slot->window].silence = true;
    slot->job->out.windows[slot->window].best = -1;
    slot->job->out.windows[slot->window].score = NAN;
    if (c->config.picture)
        add_to_picture(c, slot->job, slot, NULL);
    slot->job->open--;
}

/* Clips */

static void give_done(struct classifier *c)
{
    while (c->oldest != NULL && c->oldest->all_added && c->oldest->open == 0) {
        struct job *job = c->oldest;
        job->out.silence = !(job->weight > 0);
        for (int i = 0; i < c->info->n_classes && !job->out.silence; i++) {
            job->out.p[i] /= (float)job->weight;
            job->out.p_paper[i] /= (float)job->weight;
        }
        job->out.score = job->out.silence ? NAN : (float)(job->score / job->weight);
        job->out.unknown =
            !job->out.silence && reject_is_unknown(&c->config.reject, job->out.score);
        c->config.done(c->config.user, &job->out);
        c->oldest = job->next;
        if (c->oldest == NULL)
            c->newest = NULL;
        job_destroy(job);
    }
}

static int run_slots(struct classifier *c, struct error *error)
{
    int r = c->n_slots > 0 ? runner_run(c->runner, c->n_slots, c->results, error) : 0;
    for (int i = 0; i < c->n_slots && r == 0; i++)
        r = finish_window(c, &c->slots[i], &c->results[i], error);
    c->n_slots = 0;
    return r;
}

static int add_window(struct classifier *c, struct job *job, int window, struct error *error)
{
    const struct classified_window *w = &job->out.windows[window];
    struct slot *slot = &c->slots[c->n_slots];
    slot->job = job;
    slot->window = window;
    size_t n = w->count < c->window ? w->count : c->window;
    memcpy(c->samples, job->out.clip.samples + w->first, n * sizeof(float));
    memset(c->samples + n, 0, (c->window - n) * sizeof(float));
    stft_signal(c->stft, c->samples, c->window, slot->spectrum);
    struct analysis_window before;
    analysis_before(c->analysis, c->samples, slot->spectrum, c->config.gate,
                    runner_input(c->runner, c->n_slots), &before);
    if (c->config.interpret || c->config.picture)
        add_frames_beyond(c, slot);
    if (before.silence) {
        finish_silence(c, slot);
        return 0;
    }
    slot->max = before.max;
    c->n_slots++;
    return c->n_slots == c->config.batch ? run_slots(c, error) : 0;
}

static int count_windows(const struct classifier *c, size_t n)
{
    size_t whole = c->window + c->tail; /* from here on a second window is due */
    return n < whole ? 1 : (int)((n - whole) / c->hop) + 2;
}

static void layout_windows(const struct classifier *c, struct job *job)
{
    size_t n = job->out.clip.n;
    for (int i = 0; i < job->out.n_windows; i++) {
        struct classified_window *w = &job->out.windows[i];
        w->first = (size_t)i * c->hop;
        bool last = i + 1 == job->out.n_windows;
        w->count = last || n - w->first < c->window ? n - w->first : c->window;
        w->best = -1;
    }
}

static int job_create(struct job **ret, const struct classifier *c, struct clip *clip, void *user,
                      struct error *error)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        clip_finish(clip);
        return error_set(error, ENOMEM, "classify: out of memory");
    }
    struct stft_shape shape = analysis_shape(c->info);
    size_t n = clip->n, classes = (size_t)c->info->n_classes, bad;
    float max, peak;
    job->out.clip = *clip;
    *clip = (struct clip){0};
    job->out.user = user;
    job->out.n_windows = count_windows(c, n);
    job->open = job->out.n_windows;
    signal_peak(job->out.clip.samples, n, &max, &peak, &bad);
    job->scale = signal_scale(max);
    job->out.windows = calloc((size_t)job->out.n_windows, sizeof *job->out.windows);
    job->out.p = memory_zeroed(classes, sizeof(float));
    job->out.p_paper = memory_zeroed(classes, sizeof(float));
    if (c->config.interpret)
        job->out.interpreted = memory_zeroed(n, sizeof(float));
    int r = 0;
    if (job->out.windows == NULL || job->out.p == NULL || job->out.p_paper == NULL ||
        (c->config.interpret && job->out.interpreted == NULL))
        r = error_set(error, ENOMEM, "classify: out of memory for a clip of %zu samples", n);
    if (r == 0 && c->config.picture)
        r = picture_create(&job->out.picture, n, job->out.clip.rate_hz, &shape,
                           c->info->interpreter, error);
    if (r < 0) {
        job_destroy(job);
        return r;
    }
    layout_windows(c, job);
    *ret = job;
    return 0;
}

int classifier_add(struct classifier *c, struct clip *clip, void *user, struct error *error)
{
    struct job *job = NULL;
    int r = job_create(&job, c, clip, user, error);
    if (r < 0)
        return r;
    if (c->newest != NULL)
        c->newest->next = job;
    else
        c->oldest = job;
    c->newest = job;
    for (int i = 0; i < job->out.n_windows && r == 0; i++)
        r = add_window(c, job, i, error);
    job->all_added = true;
    if (r == 0)
        give_done(c);
    return r;
}

int classifier_flush(struct classifier *c, struct error *error)
{
    int r = run_slots(c, error);
    if (r == 0)
        give_done(c);
    return r;
}
