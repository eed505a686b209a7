/* SPDX-License-Identifier: Apache-2.0 */
#include "model/backends.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char module_file[] = "libfocald-cuda.so";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct backend_ops *loaded; /* under lock */
static struct error missing; /* under lock: why there was no GPU when last there was none */

/* Loading */

/* A program that runs from its build folder takes what was built with it. */
static bool runs_from_build(void)
{
    char program[PATH_MAX];
    const size_t n = strlen(FOCALD_BUILD_ROOT);
    ssize_t got = readlink("/proc/self/exe", program, sizeof program - 1);
    return got > (ssize_t)n && memcmp(program, FOCALD_BUILD_ROOT, n) == 0 && program[n] == '/';
}

/* The directory that the environment names, or NULL. */
static const char *named_directory(void)
{
    const char *dir = getenv("FOCALD_MODULES");
    return dir != NULL && dir[0] != '\0' ? dir : NULL;
}

static int module_path(char *ret, size_t size, struct error *error)
{
    const char *dir = named_directory();
    if (dir == NULL)
        dir = runs_from_build() ? FOCALD_BUILD_MODULES : FOCALD_INSTALLED_MODULES;
    if (dir[0] != '/')
        return error_set(error, ENODEV, "FOCALD_MODULES=%s is no absolute path", dir);
    if ((size_t)snprintf(ret, size, "%s/%s", dir, module_file) >= size)
        return error_set(error, ENODEV, "FOCALD_MODULES=%s is too long", dir);
    return 0;
}

/* The libraries of the module's are large: without a driver they would cost half a second and
 * 180 MB for nothing. */
static bool has_driver(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver != NULL)
        dlclose(driver);
    return driver != NULL;
}

/* The handle is kept for the life of the process: its code runs as long as any backend is open. */
static int load(const struct backend_ops **ret, struct error *error)
{
    char path[PATH_MAX];
    int r = module_path(path, sizeof path, error);
    if (r < 0)
        return r;
    if (access(path, F_OK) < 0)
        return error_set(error, ENODEV,
                         "there is no module %s (built where CUDA is, see docs/gpu.md; "
                         "FOCALD_MODULES names another directory)",
                         path);
    if (named_directory() == NULL && !has_driver()) /* one that is named may need none */
        return error_set(error, ENODEV, "no NVIDIA driver is loaded (there is no libcuda.so.1)");
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        return error_set(error, ENODEV, "the module cannot be loaded: %s", dlerror());
    backend_module *entry = NULL;
    *(void **)&entry = dlsym(module, "focald_cuda_backend");
    const struct backend_ops *ops = entry != NULL ? entry(BACKEND_ABI) : NULL;
    if (ops == NULL) {
        dlclose(module);
        return error_set(error, ENODEV,
                         "the module %s is of another version of focald: install the same", path);
    }
    *ret = ops;
    return 0;
}

/* Under lock. */
static int find_gpu(char *ret_name, size_t size)
{
    int r = loaded == NULL ? load(&loaded, &missing) : 0;
    if (r == 0 && loaded->device != NULL)
        r = loaded->device->probe(ret_name, size, &missing);
    return r;
}

int backend_gpu(const struct backend_ops **ret, char *ret_device, size_t size, struct error *error)
{
    char name[256] = "";
    pthread_mutex_lock(&lock);
    int r = find_gpu(name, sizeof name);
    const struct backend_ops *ops = loaded;
    if (r < 0 && error != NULL)
        *error = missing;
    pthread_mutex_unlock(&lock);
    if (r < 0)
        return r;
    *ret = ops;
    if (size > 0)
        snprintf(ret_device, size, "%s", name);
    return 0;
}

bool backend_gpu_is_absent(int code)
{
    return code == -ENODEV || code == -ENOSYS;
}

bool backend_gpu_is_in_trouble(struct error *ret_why)
{
    const struct backend_ops *gpu;
    int r = backend_gpu(&gpu, NULL, 0, ret_why);
    return r < 0 && !backend_gpu_is_absent(r);
}

struct error backend_gpu_missing(void)
{
    pthread_mutex_lock(&lock);
    const struct error ret = missing;
    pthread_mutex_unlock(&lock);
    return ret;
}

/* Choice */

int backend_find(const char *name, const struct backend_ops **ret, struct error *error)
{
    if (strcmp(name, "cpu") == 0) {
        *ret = &backend_cpu;
    } else if (strcmp(name, "ref") == 0) {
        *ret = &backend_ref;
    } else if (strcmp(name, "auto") == 0) {
        if (backend_gpu(ret, NULL, 0, NULL) < 0)
            *ret = &backend_cpu;
    } else if (strcmp(name, "cuda") == 0) {
        int r = backend_gpu(ret, NULL, 0, error);
        if (r < 0)
            return error_prefix(error, r, "backend cuda%s",
                                backend_gpu_is_absent(r) ? ": no GPU" : "");
    } else {
        return error_set(error, EINVAL, "there is no backend %s; allowed: auto, cpu, cuda", name);
    }
    return 0;
}

int backend_choose(const char *name, enum precision precision, struct backend_choice *ret,
                   struct error *error)
{
    const struct backend_ops *ops;
    int r = backend_find(name, &ops, error);
    if (r < 0)
        return r;
    const bool host = ops == &backend_cpu || ops == &backend_ref;
    if (host && precision != PRECISION_AUTO && precision != PRECISION_FLOAT32 &&
        strcmp(name, "auto") != 0)
        return error_set(error, EINVAL,
                         "precision %s is the GPU's: backend %s computes in float32; allowed with "
                         "it: auto, float32",
                         precision_name(precision), name);
    if (host)
        precision = PRECISION_FLOAT32;
    else if (precision == PRECISION_AUTO)
        precision = PRECISION_TF32;
    *ret = (struct backend_choice){ops, precision};
    return 0;
}
