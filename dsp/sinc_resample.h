/* SPDX-License-Identifier: Apache-2.0
 * The resampler of the published code (torchaudio Resample: windowed sinc, Hann, width 6, rolloff
 * 0.99), for results that must be the paper's to the last digits: parity and evaluation. Live audio
 * goes through resampler.h. */
#ifndef FOCALD_DSP_SINC_RESAMPLE_H
#define FOCALD_DSP_SINC_RESAMPLE_H

#include <stddef.h>

#include "base/error.h"

struct sinc_resample;

int sinc_resample_create(struct sinc_resample **ret, int in_rate_hz, int out_rate_hz,
                         struct error *error);
void sinc_resample_destroy(struct sinc_resample *resample); /* takes NULL */

/* ceil(n * out_rate / in_rate). */
size_t sinc_resample_length(const struct sinc_resample *resample, size_t n);
/* in: [n] mono, ret: [sinc_resample_length(n)]. */
void sinc_resample_run(const struct sinc_resample *resample, const float *in, size_t n, float *ret);

/* Row j of the kernel as published: ret: [sinc_resample_taps()], 0 <= j < out_rate / gcd. */
int sinc_resample_taps(const struct sinc_resample *resample);
void sinc_resample_row(const struct sinc_resample *resample, int j, float *ret);

#endif
