/* SPDX-License-Identifier: Apache-2.0
 * The one way an error travels: a negative errno as the return value, and one line for people (the
 * thing, the place, the mend) in the caller's struct error. Libraries set it; only mains and
 * daemon/ print it. */
#ifndef FOCALD_BASE_ERROR_H
#define FOCALD_BASE_ERROR_H

struct error {
    char text[512];
};

/* Writes the formatted line into *e (e may be NULL) and returns -errnum, so that a failing function
 * can end in `return error_set(e, EINVAL, "...")`. errnum is a positive errno. Thread-safe for
 * different e. */
int error_set(struct error *e, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the line already in *e and returns code unchanged. */
int error_prefix(struct error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
