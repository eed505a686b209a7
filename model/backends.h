/* SPDX-License-Identifier: Apache-2.0
 * Which backends there are, by name:
 *
 *   auto   the GPU where there is one, else the CPU
 *   cuda   the GPU, by a module (libfocald-cuda.so) that is loaded when it is asked for
 *   cpu    the CPU
 *   ref    the reference, for tests
 *
 * The module is looked for in $FOCALD_MODULES, else in the build folder of a program that runs from
 * there, else where it is installed. Once loaded it stays. Any thread. */
#ifndef FOCALD_MODEL_BACKENDS_H
#define FOCALD_MODEL_BACKENDS_H

#include <stddef.h>

#include "base/error.h"
#include "model/backend.h"

/* -ENODEV: cuda where there is none (the error says what is missing: module, driver or device);
 * -EINVAL: no such name. */
int backend_find(const char *name, const struct backend_ops **ret, struct error *error);

/* The GPU's backend and the card's name ("" where it has no name); else why there is none. */
int backend_gpu(const struct backend_ops **ret, char *ret_device, size_t size, struct error *error);

/* Whether that error says that there is none, or no driver for it; else there is one that cannot be
 * used. */
bool backend_gpu_is_absent(int code);

/* Where the backend is left to focald: whether there is a GPU that cannot be used, and why. */
bool backend_gpu_is_in_trouble(struct error *ret_why);

/* Why the last search for a GPU that found none did so; "" where none failed. */
struct error backend_gpu_missing(void);

struct backend_choice {
    const struct backend_ops *ops;
    enum precision precision; /* never auto */
};

/* A backend by name with a precision that it has. Auto is float32 on the CPU and TF32 on a GPU. The
 * CPU has float32 alone: another is refused where the CPU is asked for by name (-EINVAL), and is a
 * wish for the GPU where the backend is auto. */
int backend_choose(const char *name, enum precision precision, struct backend_choice *ret,
                   struct error *error);

#endif
