/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reject_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/newfile.h"
#include "model/json_values.h"
#include "model/model_internal.h"
#include "model/text_file.h"

double reject_shortest(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return strtod(text, NULL);
}

json_t *reject_json(const struct model_reject *reject)
{
    if (reject->score == REJECT_NONE)
        return json_null();
    return json_pack("{s:s, s:f}", "score", reject_score_name(reject->score), "below",
                     reject_shortest(reject->below));
}

/* A model without the file means the usual numbers. */
static int read_object(json_t **ret, const char *path, struct error *error)
{
    char *text;
    size_t n;
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        *ret = json_object();
        return *ret == NULL ? error_set(error, ENOMEM, "%s: out of memory", path) : 0;
    }
    int r = text_file_read(path, &text, &n, error);
    if (r < 0)
        return r;
    r = json_parse_object(ret, text, n, path, error);
    free(text);
    return r;
}

static int write_text(const char *path, const char *text, struct error *error)
{
    struct newfile file;
    int r = newfile_begin(&file, path, error);
    if (r < 0)
        return r;
    errno = 0;
    if (dprintf(file.fd, "%s\n", text) != (int)strlen(text) + 1) {
        r = error_set(error, errno != 0 ? errno : EIO, "%s: cannot be written: %s", path,
                      strerror(errno != 0 ? errno : EIO));
        newfile_abandon(&file);
        return r;
    }
    return newfile_commit(&file, error);
}

int reject_write(const char *dir, const struct model_reject *reject, struct error *error)
{
    char path[PATH_MAX];
    struct model_preprocess written;
    json_t *o = NULL;
    if (snprintf(path, sizeof path, "%s/preprocess.json", dir) >= (int)sizeof path)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", dir);
    int r = read_object(&o, path, error);
    if (r < 0)
        return r;
    if (reject->score == REJECT_NONE)
        json_object_del(o, "reject");
    else
        json_object_set_new(o, "reject", reject_json(reject));
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    json_decref(o);
    r = text == NULL ? error_set(error, ENOMEM, "%s: out of memory", path)
                     : preprocess_parse(&written, text, strlen(text), path, error);
    if (r == 0)
        r = write_text(path, text, error);
    free(text);
    return r;
}
