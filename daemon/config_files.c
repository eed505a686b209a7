/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/inifile.h"
#include "daemon/version.h"

static int take_key(void *config, const char *where, const char *section, const char *key,
                    const char *value, struct error *error)
{
    return config_set(config, where, section, key, value, error);
}

int config_read_files(struct config *config, const char *path, struct error *error)
{
    return inifile_read_usual("focald.conf", path, take_key, config, error);
}

/* Directories */

int config_ipc_dir(const struct config *config, char *ret, size_t size, struct error *error)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n;
    if (config->ipc_dir[0] != '\0')
        n = snprintf(ret, size, "%s", config->ipc_dir);
    else if (strchr(config->ipc_name, '/') != NULL || config->ipc_name[0] == '\0')
        return error_set(error, EINVAL, "name = \"%s\" in [ipc]; allowed: a name without /",
                         config->ipc_name);
    else if (geteuid() == 0 || getenv("RUNTIME_DIRECTORY") != NULL)
        n = snprintf(ret, size, "/run/%s", config->ipc_name);
    else if (runtime != NULL && runtime[0] == '/')
        n = snprintf(ret, size, "%s/%s", runtime, config->ipc_name);
    else
        return error_set(
            error, ENOENT,
            "no place for the sockets: XDG_RUNTIME_DIR is not set; log in properly, or "
            "set dir in [ipc]");
    return n >= 0 && (size_t)n < size ? 0
                                      : error_set(error, ENAMETOOLONG, "dir in [ipc] is too long");
}

/* Makes the directory and its parents. */
static int make_directories(const char *path)
{
    char part[512];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (mkdir(part, 0755) < 0 && errno != EEXIST)
                return -errno;
        }
    return 0;
}

int config_cache_file(const struct config *config, const char *name, char *ret, size_t size)
{
    char dir[512];
    const char *service = getenv("CACHE_DIRECTORY"), *user = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (config->cache_dir[0] != '\0')
        snprintf(dir, sizeof dir, "%s", config->cache_dir);
    else if (service != NULL && service[0] == '/')
        snprintf(dir, sizeof dir, "%s", service);
    else if (user != NULL && user[0] == '/')
        snprintf(dir, sizeof dir, "%s/focald", user);
    else if (home != NULL && home[0] == '/')
        snprintf(dir, sizeof dir, "%s/.cache/focald", home);
    else
        return -ENOENT;
    int r = make_directories(dir);
    if (r == 0 && (size_t)snprintf(ret, size, "%s/%s", dir, name) >= size)
        r = -ENAMETOOLONG;
    return r;
}

/* Of the program in its build folder: build/daemon/focald knows the source tree's model. */
static int build_model_dir(char *ret, size_t size)
{
    char program[512];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0)
        return -errno;
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL || strncmp(program, FOCALD_BUILD_ROOT, strlen(FOCALD_BUILD_ROOT)) != 0)
        return -ENOENT;
    snprintf(ret, size, "%s", FOCALD_SOURCE_MODEL_DIR);
    return access(ret, F_OK) == 0 ? 0 : -ENOENT;
}

int config_model_dir(const struct config *config, char *ret, size_t size, struct error *error)
{
    if (config->model_dir[0] != '\0') {
        snprintf(ret, size, "%s", config->model_dir);
        return 0;
    }
    const char *given = getenv("FOCALD_MODEL");
    if (given != NULL && given[0] != '\0') {
        snprintf(ret, size, "%s", given);
        return 0;
    }
    if (build_model_dir(ret, size) == 0)
        return 0;
    snprintf(ret, size, "%s", FOCALD_MODEL_DIR);
    if (access(ret, F_OK) == 0)
        return 0;
    return error_set(error, ENOENT,
                     "the default model is not at %s; install focald, or name one "
                     "with --model DIR",
                     ret);
}
