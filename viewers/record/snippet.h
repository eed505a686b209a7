/* SPDX-License-Identifier: Apache-2.0
 * A snippet on its way from the thread that listens to the thread that writes: its own copy of
 * everything, so that neither waits for the other. */
#ifndef FOCAL_RECORD_SNIPPET_H
#define FOCAL_RECORD_SNIPPET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SNIPPET_NAME_BYTES = 64, SNIPPET_LABEL_BYTES = 128, SNIPPET_MAX_GAPS = 256 };

struct snippet_gap {
    const char *topic, *kind; /* docs/record.md; static strings */
    uint64_t first, count, messages;
};

/* Columns of the spectrogram, each one frame; see strip.h. */
struct snippet_picture {
    uint64_t first_column;
    size_t columns, bins, mask_bytes;
    int hop;       /* samples from column to column */
    uint8_t *spec; /* [columns][bins], levels; 0: nothing known */
    uint8_t *mask; /* [columns][mask_bytes], one bit a bin */
};

struct snippet {
    bool continuous;
    char stream[SNIPPET_NAME_BYTES], label[SNIPPET_LABEL_BYTES];
    int64_t run;
    uint64_t event;
    int label_index;
    double p_peak;
    int64_t t_onset_ns, t_end_ns; /* t_end_ns: 0 while unknown */
    uint64_t onset, end;
    int64_t t_first_ns;
    uint64_t first, count;
    bool cut;
    char model_hash[SNIPPET_LABEL_BYTES];
    int64_t t_scores_ns;
    float *scores; /* [n_scores], 3 * classes; NULL: none */
    size_t n_scores;
    float *input, *audio;           /* [count]; NULL: not kept */
    uint64_t lost;                  /* of input (or of audio, where input is not kept) */
    struct snippet_picture picture; /* spec NULL: no picture */
    struct snippet_gap gaps[SNIPPET_MAX_GAPS];
    size_t n_gaps;
    size_t size_bytes; /* of the memory it holds */
};

void snippet_destroy(struct snippet *snippet); /* takes NULL */

#endif
