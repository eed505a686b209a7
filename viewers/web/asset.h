/* SPDX-License-Identifier: Apache-2.0
 * The files of the page, which embed.py puts into the program. */
#ifndef FOCAL_WEB_ASSET_H
#define FOCAL_WEB_ASSET_H

#include <stddef.h>

struct asset {
    const char *path, *type, *etag;
    const unsigned char *plain, *gzip;
    size_t plain_bytes, gzip_bytes;
};

extern const struct asset assets[];
extern const size_t n_assets;

/* NULL: there is no such file. */
const struct asset *asset_find(const char *path);

#endif
