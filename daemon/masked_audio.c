/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/masked_audio.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dsp/spectrogram.h"

struct masked_audio {
    struct stft_shape shape;
    size_t frames, bins; /* of a window */
    int delay_frames;
    struct istft *istft;
    float *spectrum; /* [F][2] */
    float *hop;      /* [hop] */
    bool running;    /* the inverse STFT holds frame next_frame - 1 */
    uint64_t next_frame;

    /* of the window being given */
    const struct window *window;
    const uint8_t *mask;
    const float *soft;
    float max;
    uint64_t window_frame; /* its first frame */
    uint64_t end_frame;
};

int masked_audio_delay(int wanted_frames, size_t window_frames, int hop_frames)
{
    int room = (int)window_frames - 2 - hop_frames;
    return room < 0 ? 0 : wanted_frames < room ? wanted_frames : room;
}

int masked_audio_create(struct masked_audio **ret, const struct stft_shape *shape,
                        size_t window_samples, int delay_frames, struct error *error)
{
    struct masked_audio *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ENOMEM, "masked audio: out of memory");
    a->shape = *shape;
    a->frames = stft_frames(shape, window_samples);
    a->bins = (size_t)stft_bins(shape);
    a->delay_frames = delay_frames;
    int r = -EINVAL;
    if (delay_frames < 0 || (size_t)delay_frames + 2 > a->frames) {
        error_set(error, EINVAL, "masked audio: a delay of %d frames; allowed: 0 to %zu",
                  delay_frames, a->frames - 2);
        goto fail;
    }
    r = istft_create(&a->istft, shape, error);
    if (r < 0)
        goto fail;
    a->spectrum = memory_zeroed(a->bins, 2 * sizeof(float));
    a->hop = memory_zeroed((size_t)shape->hop, sizeof(float));
    if (a->spectrum == NULL || a->hop == NULL) {
        r = error_set(error, ENOMEM, "masked audio: out of memory");
        goto fail;
    }
    *ret = a;
    return 0;
fail:
    masked_audio_destroy(a);
    return r;
}

void masked_audio_destroy(struct masked_audio *a)
{
    if (a == NULL)
        return;
    istft_destroy(a->istft);
    free(a->spectrum);
    free(a->hop);
    free(a);
}

void masked_audio_reset(struct masked_audio *a)
{
    a->running = false;
    a->window = NULL;
}

/* Frame next_frame, masked, through the inverse STFT into a->hop. */
static void push_frame(struct masked_audio *a)
{
    size_t row = (size_t)(a->next_frame - a->window_frame);
    const float *spectrum = a->window->spectrum + row * a->bins * 2;
    if (a->mask == NULL)
        memset(a->spectrum, 0, a->bins * 2 * sizeof(float));
    else if (a->soft != NULL)
        spectrogram_soft_mask(spectrum, a->soft + row * a->bins, a->bins, 1 / a->max, a->spectrum);
    else
        spectrogram_mask(spectrum, a->mask + row * a->bins, a->bins, a->spectrum);
    istft_push(a->istft, a->spectrum, a->hop);
    a->next_frame++;
}

void masked_audio_begin(struct masked_audio *a, const struct window *window, int hop_frames,
                        const uint8_t *mask, const float *soft, float max)
{
    a->window = window;
    a->mask = mask;
    a->soft = soft;
    a->max = max;
    a->window_frame = window->first / (uint64_t)a->shape.hop;
    /* the window's own first and last frame are padded: not the stream's */
    uint64_t oldest = a->window_frame + 1, last = a->window_frame + a->frames - 2;
    a->end_frame = last + 1 - (uint64_t)masked_audio_delay(a->delay_frames, a->frames, hop_frames);
    if (a->running && a->next_frame >= oldest)
        return;
    /* The first samples come with the second frame pushed. A new listener gets one hop's worth. */
    uint64_t fresh = window->hop_samples / (uint64_t)a->shape.hop;
    uint64_t start =
        a->running || a->end_frame < fresh + 1 + oldest ? oldest : a->end_frame - fresh - 1;
    istft_reset(a->istft);
    a->next_frame = start;
    a->running = true;
    if (a->next_frame < a->end_frame)
        push_frame(a);
}

size_t masked_audio_next(struct masked_audio *a, float *ret, size_t cap, uint64_t *ret_first)
{
    size_t hop = (size_t)a->shape.hop, n = 0;
    if (a->window == NULL)
        return 0;
    *ret_first = (a->next_frame - 1) * hop;
    while (a->next_frame < a->end_frame && n + hop <= cap) {
        push_frame(a);
        memcpy(ret + n, a->hop, hop * sizeof(float));
        n += hop;
    }
    return n;
}
