/* SPDX-License-Identifier: Apache-2.0
 * focal-record.conf: what is shipped and what the manual says are what the program takes. */
#include "tests/model/places.h"

#include "viewers/record/settings.h"

static char *read_text(const char *path)
{
    size_t n;
    char *bytes = read_bytes(in_source(path).path, &n), *text = calloc(n + 1, 1);
    assert_non_null(text);
    memcpy(text, bytes, n);
    free(bytes);
    return text;
}

/* The part of a text from one mark to the next of its kind, which is cut off. */
static char *part(const char *text, const char *begin, const char *next)
{
    const char *at = strstr(text, begin);
    if (at == NULL)
        fail_msg("there is no %s", begin);
    const char *end = strstr(at + 1, next);
    return end != NULL ? strndup(at, (size_t)(end - at)) : strdup(at);
}

static void the_shipped_file_lists_every_key_with_its_default(void **state)
{
    (void)state;
    char *text = read_text("viewers/record/focal-record.conf");
    const struct key *k;
    for (size_t i = 0; (k = settings_key(i)) != NULL; i++) {
        char mark[64], line[128];
        const bool label = strcmp(k->section, "label") == 0;
        snprintf(mark, sizeof mark, "\n[%s%s]\n", k->section, label ? " *" : "");
        snprintf(line, sizeof line, "\n#%s =%s%s\n", k->key, k->fallback[0] != '\0' ? " " : "",
                 k->fallback);
        char *section = part(text, mark, "\n[");
        if (strstr(section, line) == NULL)
            fail_msg("focal-record.conf does not list %s = %s in [%s]", k->key, k->fallback,
                     k->section);
        free(section);
    }
    free(text);
}

/* The key's entry within its section of the manual; NULL where there is none. */
static char *entry_of(const char *section, const char *key)
{
    for (const char *at = section; (at = strstr(at, "\n.It Cm ")) != NULL; at++) {
        char line[128] = "";
        sscanf(at + 1, "%127[^\n]", line);
        for (char *word = strtok(line, " ,"); word != NULL; word = strtok(NULL, " ,"))
            if (strcmp(word, key) == 0)
                return part(at, "\n.It", "\n.It");
    }
    return NULL;
}

static void the_manual_says_of_every_key_what_it_may_be(void **state)
{
    (void)state;
    char *page = read_text("man/focal-record.1");
    const struct key *k;
    for (size_t i = 0; (k = settings_key(i)) != NULL; i++) {
        char mark[64], allowed[200], range[200];
        const bool label = strcmp(k->section, "label") == 0;
        snprintf(mark, sizeof mark, "\n.Ss [%s%s]\n", k->section, label ? " NAME" : "");
        char *section = part(page, mark, "\n.S"), *entry = entry_of(section, k->key);
        if (entry == NULL)
            fail_msg("focal-record(1) does not name %s of [%s]", k->key, k->section);
        key_allowed(k, allowed, sizeof allowed);
        const bool has_range = sscanf(allowed, "%*[^0-9]%199[^,]", range) == 1;
        if (k->to > 0 && (!has_range || strstr(entry, range) == NULL))
            fail_msg("focal-record(1) does not say of %s: %s", k->key, range);
        free(entry);
        free(section);
    }
    free(page);
}

/* Each end of a range is allowed by the unit that the error names, and what is beyond is not. */
static void ranges_are_told_in_units_that_can_be_written(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *allowed;
    } cases[] = {{"chunk", "4 s", "a time from 5 s to 10 min"},
                 {"max_age", "101 years", "a time from 0 s to 100 years"},
                 {"max_size", "1001 TB", "a size from 0 B to 1000 TB"},
                 {"cool_down", "1.5 weeks", "a time from 0 s to 10 days"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct place p = in_scratch("conf");
        struct settings settings;
        struct error error;
        char text[128];
        const char *section = i == 0 ? "record" : i == 3 ? "label *" : "retention";
        const int n =
            snprintf(text, sizeof text, "[%s]\n%s = %s\n", section, cases[i].key, cases[i].value);
        write_bytes(p.path, text, (size_t)n);
        assert_int_equal(settings_load(&settings, p.path, &error), -EINVAL);
        assert_line(&error, cases[i].key, cases[i].allowed, NULL);
        settings_finish(&settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_file_lists_every_key_with_its_default),
        cmocka_unit_test(the_manual_says_of_every_key_what_it_may_be),
        cmocka_unit_test(ranges_are_told_in_units_that_can_be_written),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
