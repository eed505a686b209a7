/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes what a browser sends focal-web and people type at focal-record: the first line is a Range
 * header and a time, the rest what stands behind an address's ?. What is accepted can be relied on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "viewers/record/times.h"
#include "viewers/web/query.h"
#include "viewers/web/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_range(const char *header)
{
    static const int64_t sizes[] = {0, 1, 1000, INT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t from = -1, bytes = -1;
        if (range_parse(header, sizes[i], &from, &bytes) != RANGE_PART)
            continue;
        if (from < 0 || bytes < 1 || from >= sizes[i] || bytes > sizes[i] - from)
            abort();
    }
}

static void try_query(const char *query)
{
    char text[16];
    int64_t integer = 7;
    double number = 0.5;
    memset(text, 'x', sizeof text);
    if (query_text(query, "label", text, sizeof text) && memchr(text, '\0', sizeof text) == NULL)
        abort();
    (void)query_integer(query, "limit", 1, 500, &integer);
    if (integer < 1 || integer > 500)
        abort();
    (void)query_number(query, "at", 0, 1, &number);
    if (!(number >= 0 && number <= 1))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *rest = strchr(text, '\n');
    if (rest != NULL)
        *rest++ = '\0';
    int64_t t = 0;
    char iso[32];
    try_range(text);
    if (time_parse(text, INT64_C(1764316800000000000), &t))
        time_iso(t, iso, sizeof iso);
    try_query(rest != NULL ? rest : text);
    free(text);
    return 0;
}
