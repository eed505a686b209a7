/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

static const struct {
    const char *name;
    const char *journal; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", "<3>"},
    [LOG_LEVEL_WARNING] = {"warning", "<4>"},
    [LOG_LEVEL_INFO] = {"info", "<6>"},
    [LOG_LEVEL_DEBUG] = {"debug", "<7>"},
};

static atomic_int shown = LOG_LEVEL_INFO;
static void (*hook)(void);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (strcmp(name, levels[i].name) == 0)
            atomic_store(&shown, (int)i);
}

void log_set_hook(void (*before)(void))
{
    hook = before;
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[1024], clock[16] = "";
    if ((int)level > atomic_load(&shown))
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *prefix = levels[level].journal;
    if (getenv("JOURNAL_STREAM") == NULL) {
        prefix = level == LOG_LEVEL_ERROR     ? "error: "
                 : level == LOG_LEVEL_WARNING ? "warning: "
                                              : "";
        struct tm tm;
        time_t now = time(NULL);
        if (isatty(STDERR_FILENO))
            strftime(clock, sizeof clock, "%H:%M:%S  ", localtime_r(&now, &tm));
    }
    pthread_mutex_lock(&lock);
    if (hook != NULL)
        hook();
    fprintf(stderr, "%s%s%s%s\n", getenv("JOURNAL_STREAM") == NULL ? "" : prefix, clock,
            getenv("JOURNAL_STREAM") == NULL ? prefix : "", text);
    pthread_mutex_unlock(&lock);
}
