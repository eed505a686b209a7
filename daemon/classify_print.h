/* SPDX-License-Identifier: Apache-2.0
 * What `focald classify` says of a clip: a JSON object a line, or lines for people. */
#ifndef FOCALD_DAEMON_CLASSIFY_PRINT_H
#define FOCALD_DAEMON_CLASSIFY_PRINT_H

#include <stdio.h>

#include "base/error.h"
#include "daemon/classifier.h"

struct classify_top { /* best first */
    int n;
    int index[20];
};

/* The k best of p: [n], k at most 20; none in silence. */
void classify_top(const struct classified_clip *clip, int n_classes, int k,
                  struct classify_top *ret);

/* wav, png: what was written, or NULL. Returns -ENOMEM (nothing was printed) or -EIO. */
int classify_print_json(FILE *to, const char *file, const struct classified_clip *clip,
                        const struct model_info *info, const struct classify_top *top,
                        const char *wav, const char *png);

/* width: columns for the file's name. */
void classify_print_line(FILE *to, const char *file, int width, const struct classified_clip *clip,
                         const struct model_info *info, const struct classify_top *top);

/* The picture's title and subtitle: "dog.ogg: dog 62 %", "then hen 19 %, …". */
void classify_title(const char *file, const struct classified_clip *clip,
                    const struct model_info *info, const struct classify_top *top, char *ret,
                    size_t size);
void classify_subtitle(const struct classified_clip *clip, const struct model_info *info,
                       const struct classify_top *top, double quantile, char *ret, size_t size);

#endif
