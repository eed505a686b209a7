/* SPDX-License-Identifier: Apache-2.0
 * The Range header (RFC 9110 section 14), for players that seek: one range of bytes. */
#ifndef FOCAL_WEB_RANGE_H
#define FOCAL_WEB_RANGE_H

#include <stdint.h>

enum range_verdict {
    RANGE_WHOLE,        /* none, or one that may be ignored: several, another unit, malformed */
    RANGE_PART,         /* *ret_from and *ret_bytes are filled */
    RANGE_UNSATISFIABLE /* begins behind the end */
};

enum range_verdict range_parse(const char *header, int64_t size, int64_t *ret_from,
                               int64_t *ret_bytes);

#endif
