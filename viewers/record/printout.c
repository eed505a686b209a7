/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/printout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *temporary_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir != NULL && dir[0] != '\0' ? dir : "/tmp";
}

static int failed(int number, struct error *error)
{
    return error_set(error, number, "a temporary file in %.200s: %s; TMPDIR names another place",
                     temporary_dir(), strerror(number));
}

int printout_begin(struct printout *p, struct error *error)
{
    char path[4096];
    *p = (struct printout){.out = NULL};
    int n = snprintf(path, sizeof path, "%s/focal-record-XXXXXX", temporary_dir());
    if (n < 0 || (size_t)n >= sizeof path)
        return failed(ENAMETOOLONG, error);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return failed(errno, error);
    unlink(path);
    p->out = fdopen(fd, "w+");
    if (p->out != NULL)
        return 0;
    int number = errno;
    close(fd);
    return failed(number, error);
}

/* Nothing goes out before all of it was held. */
static int copy_out(FILE *held, struct error *error)
{
    char bytes[65536];
    size_t n;
    errno = 0;
    if (fflush(held) != 0 || ferror(held) || fseek(held, 0, SEEK_SET) != 0)
        return failed(errno != 0 ? errno : EIO,
                      error); /* an earlier write's is not known any more */
    while ((n = fread(bytes, 1, sizeof bytes, held)) > 0)
        if (fwrite(bytes, 1, n, stdout) != n)
            return 0; /* the program tells its standard output's trouble at its end */
    return ferror(held) ? failed(errno, error) : 0;
}

int printout_end(struct printout *p, int code, struct error *error)
{
    if (p->out == NULL)
        return code;
    struct error held_error;
    int held = copy_out(p->out, &held_error);
    fclose(p->out);
    *p = (struct printout){.out = NULL};
    if (code < 0 || held == 0)
        return code;
    *error = held_error;
    return held;
}
