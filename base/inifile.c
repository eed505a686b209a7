/* SPDX-License-Identifier: Apache-2.0 */
#include "base/inifile.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    LINE_BYTES = 8192, /* a path of PATH_MAX with its key, and more */
    PATH_BYTES = 1024,
    SECTION_BYTES = 49 /* the library cuts what is longer, and says nothing */
};

struct reading {
    inifile_take *take;
    void *user;
    FILE *file;
    const char *path;
    int line;
    int code; /* the first mistake */
    struct error *error;
};

/* inih reads through this, so that lines are counted and none is cut in two silently. */
static char *read_line(char *text, int size, void *stream)
{
    struct reading *r = stream;
    if (r->code < 0 || fgets(text, size, r->file) == NULL)
        return NULL;
    r->line++;
    size_t n = strlen(text);
    if (n + 1 == (size_t)size && text[n - 1] != '\n' && !feof(r->file))
        r->code = error_set(r->error, EINVAL, "%s:%d: the line is longer than %d bytes", r->path,
                            r->line, size - 2);
    const char *section = text + strspn(text, " \t");
    if (section[0] == '[' && strcspn(section + 1, "]") > SECTION_BYTES)
        r->code = error_set(r->error, EINVAL, "%s:%d: a section's name is longer than %d bytes",
                            r->path, r->line, SECTION_BYTES);
    return text;
}

static int take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    char where[600];
    if (r->code < 0)
        return 0;
    snprintf(where, sizeof where, "%s:%d", r->path, r->line);
    r->code = r->take(r->user, where, section, key, value, r->error);
    return r->code == 0;
}

/* r->file, which is closed */
static int read_all(struct reading *r)
{
    static char comments[] = ";#";
    ini_max_line = LINE_BYTES;   /* of the library, which has no other way to tell it */
    ini_allow_multiline = false; /* an indented line, as of a manual's example, is like others */
    ini_inline_comment_prefixes = comments;
    int line = ini_parse_stream(read_line, r, take_value, r);
    fclose(r->file);
    if (r->code == 0 && line > 0)
        r->code =
            error_set(r->error, EINVAL, "%s:%d: neither [section] nor key = value", r->path, line);
    if (r->code == 0 && line < 0)
        r->code = error_set(r->error, EIO, "%s: cannot be read", r->path);
    return r->code;
}

int inifile_read(const char *path, inifile_take *take, void *user, struct error *error)
{
    struct reading r = {.take = take, .user = user, .path = path, .error = error};
    r.file = fopen(path, "re");
    if (r.file == NULL)
        return error_set(error, errno, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fileno(r.file), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(r.file);
        return error_set(error, EISDIR, "%s is a directory; the configuration is a file", path);
    }
    return read_all(&r);
}

int inifile_read_text(const char *name, const char *text, inifile_take *take, void *user,
                      struct error *error)
{
    struct reading r = {.take = take, .user = user, .path = name, .error = error};
    r.file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    if (r.file == NULL)
        return error_set(error, errno, "%s: %s", name, strerror(errno));
    return read_all(&r);
}

static int is_conf(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".conf") == 0;
}

static int read_directory(const char *dir, inifile_take *take, void *user, struct error *error)
{
    struct dirent **entries;
    int r = 0, n = scandir(dir, &entries, is_conf, alphasort);
    if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (n < 0)
        return error_set(error, errno,
                         "%s: cannot be read: %s; let this user read it, or remove it", dir,
                         strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[2048];
        int length = snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        if (r == 0)
            r = (size_t)length < sizeof path
                    ? inifile_read(path, take, user, error)
                    : error_set(error, ENAMETOOLONG, "%s/%s: the path is too long", dir,
                                entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return r;
}

/* A file and what stands beside it. */
static int read_both(const char *path, bool required, inifile_take *take, void *user,
                     struct error *error)
{
    char dir[PATH_BYTES + 2];
    snprintf(dir, sizeof dir, "%s.d", path);
    int r = inifile_read(path, take, user, error);
    if (r == -ENOENT && !required)
        r = 0;
    return r == 0 ? read_directory(dir, take, user, error) : r;
}

static int read_place(const char *dir, const char *below, const char *name, inifile_take *take,
                      void *user, struct error *error)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s%s/focald/%s", dir, below, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return error_set(error, ENAMETOOLONG, "%.100s…/focald/%s: the path is too long", dir, name);
    return read_both(path, false, take, user, error);
}

int inifile_read_system(const char *name, inifile_take *take, void *user, struct error *error)
{
    const char *system = getenv("FOCALD_SYSCONFDIR");
    if (system == NULL || system[0] != '/')
        system = FOCALD_SYSCONFDIR;
    return read_place(system, "", name, take, user, error);
}

int inifile_read_usual(const char *name, const char *path, inifile_take *take, void *user,
                       struct error *error)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (path != NULL && strlen(path) >= PATH_BYTES)
        return error_set(error, ENAMETOOLONG, "%.100s…: the path is too long", path);
    if (path != NULL)
        return read_both(path, true, take, user, error);
    int r = inifile_read_system(name, take, user, error);
    if (r == 0 && config != NULL && config[0] == '/')
        return read_place(config, "", name, take, user, error);
    if (r == 0 && home != NULL && home[0] == '/')
        return read_place(home, "/.config", name, take, user, error);
    return r;
}
