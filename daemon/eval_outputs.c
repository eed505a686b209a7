/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/eval_outputs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int begin_file(struct newfile *file, const char *path, bool *ret, struct error *error)
{
    int r = newfile_begin(file, path, error);
    *ret = r == 0;
    return r;
}

static int make_directory(const char *path, struct error *error)
{
    struct stat st;
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return error_set(error, errno, "--pictures %s: cannot be made: %s", path, strerror(errno));
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(error, ENOTDIR, "--pictures %s: is not a directory", path);
    if (access(path, W_OK | X_OK) < 0)
        return error_set(error, errno, "--pictures %s: cannot be written: %s", path,
                         strerror(errno));
    return 0;
}

int eval_outputs_begin(struct eval_outputs *ret, const char *json, const char *csv,
                       const char *pictures, struct error *error)
{
    int r = pictures != NULL ? make_directory(pictures, error) : 0;
    *ret = (struct eval_outputs){.json_to_stdout = json != NULL && strcmp(json, "-") == 0,
                                 .csv_to_stdout = csv != NULL && strcmp(csv, "-") == 0};
    if (r == 0 && json != NULL && !ret->json_to_stdout)
        r = begin_file(&ret->json, json, &ret->has_json, error);
    if (r == 0 && csv != NULL && !ret->csv_to_stdout)
        r = begin_file(&ret->csv, csv, &ret->has_csv, error);
    return r;
}

/* fclose tells of a full disk; the newfile keeps its own descriptor. */
static int write_file(struct newfile *file, const struct eval_report *report,
                      int (*print)(FILE *to, const struct eval_report *report), struct error *error)
{
    int fd = dup(file->fd);
    FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (to == NULL) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, code, "%s: cannot be written: %s", file->path, strerror(code));
    }
    errno = 0;
    int r = print(to, report);
    bool bad = ferror(to) != 0;
    if (fclose(to) != 0 || bad || r < 0)
        return error_set(error, errno != 0 ? errno : EIO, "%s: cannot be written: %s", file->path,
                         strerror(errno != 0 ? errno : EIO));
    return 0;
}

static int print_csv(FILE *to, const struct eval_report *report)
{
    eval_print_csv(to, report);
    return 0;
}

int eval_outputs_commit(struct eval_outputs *outputs, const struct eval_report *report,
                        struct error *error)
{
    int r = 0;
    if (outputs->has_json)
        r = write_file(&outputs->json, report, eval_print_json, error);
    if (r == 0 && outputs->has_csv)
        r = write_file(&outputs->csv, report, print_csv, error);
    if (r == 0 && outputs->has_json)
        r = newfile_commit(&outputs->json, error);
    if (r == 0 && outputs->has_csv)
        r = newfile_commit(&outputs->csv, error);
    if (r < 0)
        return r;
    if (outputs->json_to_stdout)
        r = eval_print_json(stdout, report);
    else if (outputs->csv_to_stdout)
        eval_print_csv(stdout, report);
    else
        eval_print_table(stdout, report);
    if (r < 0 || fflush(stdout) != 0 || ferror(stdout))
        return error_set(error, errno != 0 ? errno : EIO, "cannot write the results: %s",
                         strerror(errno != 0 ? errno : EIO));
    return 0;
}

void eval_outputs_abandon(struct eval_outputs *outputs)
{
    if (outputs->has_json)
        newfile_abandon(&outputs->json);
    if (outputs->has_csv)
        newfile_abandon(&outputs->csv);
}
