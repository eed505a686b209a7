/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/times.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

static const int64_t ns = 1000000000;

int64_t time_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * ns + t.tv_nsec;
}

static bool parse_ago(const char *text, int64_t now_ns, int64_t *ret)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"s", 1},       {"min", 60},     {"m", 60},     {"h", 3600},      {"d", 86400},
                 {"day", 86400}, {"days", 86400}, {"w", 604800}, {"weeks", 604800}};
    char *end;
    double n = strtod(text, &end);
    if (end == text || !(n >= 0 && n < 1e9))
        return false;
    end += strspn(end, " ");
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(end, units[i].name) == 0) {
            double ago = n * units[i].seconds * 1e9;
            *ret = ago < (double)now_ns ? now_ns - (int64_t)ago : 1;
            return true;
        }
    return false;
}

static bool make(struct tm *tm, bool utc, int64_t *ret)
{
    struct tm before = *tm;
    tm->tm_isdst = -1;
    time_t t = utc ? timegm(tm) : mktime(tm);
    /* the 31st of February is no date, though mktime takes it */
    if (t <= 0 || tm->tm_mon != before.tm_mon || tm->tm_mday != before.tm_mday)
        return false;
    *ret = t < INT64_MAX / ns ? (int64_t)t * ns : INT64_MAX;
    return true;
}

static bool parse_date(const char *text, int64_t *ret)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"};
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct tm tm = {.tm_mday = 1};
        const char *end = strptime(text, formats[i], &tm);
        if (end == NULL)
            continue;
        bool utc = strcmp(end, "Z") == 0;
        if ((utc || *end == '\0') && make(&tm, utc, ret))
            return true;
    }
    return false;
}

bool time_parse(const char *text, int64_t now_ns, int64_t *ret)
{
    time_t now = (time_t)(now_ns / ns);
    struct tm today, tm;
    localtime_r(&now, &today);
    tm = today;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    if (strcmp(text, "today") == 0)
        return make(&tm, false, ret);
    if (strcmp(text, "yesterday") == 0) {
        tm.tm_hour = -12; /* noon, so that a change of clocks does not matter */
        tm.tm_isdst = -1;
        mktime(&tm);
        tm.tm_hour = 0;
        return make(&tm, false, ret);
    }
    const char *end = strptime(text, "%H:%M", &tm);
    if (end != NULL && *end == '\0')
        return make(&tm, false, ret);
    return parse_date(text, ret) || parse_ago(text, now_ns, ret);
}

void time_text(int64_t t_ns, char *ret, size_t size)
{
    time_t t = (time_t)(t_ns / ns);
    struct tm tm;
    if (localtime_r(&t, &tm) == NULL || strftime(ret, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(ret, size, "?");
}

void time_iso(int64_t t_ns, char *ret, size_t size)
{
    time_t t = (time_t)(t_ns / ns);
    struct tm tm;
    char seconds[40];
    if (gmtime_r(&t, &tm) == NULL ||
        strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        snprintf(ret, size, "?");
    else
        snprintf(ret, size, "%s.%03dZ", seconds, (int)(t_ns / 1000000 % 1000));
}
