/* SPDX-License-Identifier: Apache-2.0
 * libsamplerate's filter as a table, for the usual rates, whose ratio has few phases. libsamplerate
 * interpolates every coefficient of every output anew; the table holds them once, and a vector loop
 * is an order of magnitude faster (a medium 48 kHz hop: 3.2 ms against 0.13 ms). */
#ifndef FOCALD_DSP_POLYPHASE_H
#define FOCALD_DSP_POLYPHASE_H

#include <samplerate.h>
#include <stddef.h>

#include "base/error.h"

struct polyphase;

/* Measures the impulse responses of src (mono, of any sinc kind; left reset) at the ratio out / in,
 * which have no common divisor. reach: inputs after an output's position that src looks at.
 * max_frames is the most a push will bring.
 * -E2BIG without a text: the table would be too large or too slow to make; stream through src. */
int polyphase_create(struct polyphase **ret, SRC_STATE *src, int in, int out, size_t reach,
                     size_t max_frames, struct error *error);
void polyphase_destroy(struct polyphase *polyphase); /* takes NULL */
void polyphase_reset(struct polyphase *polyphase);

/* Consumes x: [frames]; writes the outputs whose inputs are all there, at most cap. Output n lies
 * at input n * in / out. */
size_t polyphase_push(struct polyphase *polyphase, const float *x, size_t frames, float *ret,
                      size_t cap);

/* Inputs after an output's position that it waits for. */
size_t polyphase_reach(const struct polyphase *polyphase);

#endif
