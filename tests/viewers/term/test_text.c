/* SPDX-License-Identifier: Apache-2.0
 * Texts from the network cannot do anything to a terminal. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "viewers/term/text.h"

#define REPLACED "\xef\xbf\xbd"

static void expect(const char *text, const char *wanted)
{
    char clean[256];
    text_clean(text, true, clean, sizeof clean);
    assert_string_equal(clean, wanted);
}

static void good_text_stays_as_it_is(void **state)
{
    expect("dog", "dog");
    expect("crying baby, 98 %", "crying baby, 98 %");
    expect("Hühnerhof", "Hühnerhof");
    expect("собака 犬 🐕", "собака 犬 🐕");
    expect("e\xcc\x81", "e\xcc\x81"); /* e and its accent */
}

static void what_steers_a_terminal_is_replaced(void **state)
{
    expect("\033[2J", REPLACED "[2J");
    expect("a\nb\tc\rd\be", "a" REPLACED "b" REPLACED "c" REPLACED "d" REPLACED "e");
    expect("\x7f", REPLACED);
    expect("\xc2\x9b"
           "31m", /* CSI as one character */
           REPLACED "31m");
    expect("\x9b", REPLACED);
    expect("\016", REPLACED);
}

static void what_hides_or_turns_text_is_replaced(void **state)
{
    expect("\xe2\x80\xae"
           "god",
           REPLACED "god"); /* right to left override */
    expect("a\xe2\x80\x8b"
           "b",
           "a" REPLACED "b"); /* zero width space */
    expect("\xef\xbb\xbf"
           "a",
           REPLACED "a");                 /* byte order mark */
    expect("\xe2\x80\xa8", REPLACED);     /* line separator */
    expect("\xf3\xa0\x81\x81", REPLACED); /* a tag */
    expect("\xee\x80\x80", REPLACED);     /* private use */
}

static void what_is_not_utf8_is_replaced_byte_by_byte(void **state)
{
    expect("\xff\xfe", REPLACED REPLACED);
    expect("\xc0\xaf", REPLACED REPLACED);                           /* overlong */
    expect("\xed\xa0\x80", REPLACED REPLACED REPLACED);              /* a surrogate */
    expect("\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED); /* beyond Unicode */
    expect("a\xe2\x82", "a" REPLACED REPLACED);                      /* cut off */
    expect("\xe2\x82"
           "a",
           REPLACED REPLACED "a");
}

static void marks_do_not_pile_up(void **state)
{
    expect("a\xcc\x81\xcc\x81\xcc\x81\xcc\x81", "a\xcc\x81\xcc\x81");
    expect("\xcc\x81"
           "a",
           "a"); /* and none begins a text */
}

static void beyond_ascii_is_a_question_mark_where_there_is_nothing_else(void **state)
{
    char clean[64];
    text_clean("H\xc3\xbchner\033[m", false, clean, sizeof clean);
    assert_string_equal(clean, "H?hner?[m");
}

static void a_long_text_is_cut_at_a_whole_character(void **state)
{
    char clean[6];
    text_clean("ab犬犬", true, clean, sizeof clean);
    assert_string_equal(clean, "ab犬");
    text_clean("abcdefgh", true, clean, sizeof clean);
    assert_string_equal(clean, "abcde");
}

static void columns_are_counted_as_a_terminal_shows_them(void **state)
{
    assert_int_equal(text_columns("dog"), 3);
    assert_int_equal(text_columns("犬犬"), 4);
    assert_int_equal(text_columns("e\xcc\x81"), 1);
    assert_int_equal(text_fit("犬犬", 3), 3); /* half a wide character is none */
    assert_int_equal(text_fit("dog", 2), 2);
    assert_int_equal(text_fit("dog", 0), 0);
    assert_int_equal(text_fit("dog", 9), 3);
}

/* Any bytes: what comes out holds no control character, is UTF-8 that the C library reads, and
 * fits. */
static void no_bytes_come_through_that_could_harm(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    for (int i = 0; i < 200000; i++) {
        char text[40], clean[24];
        int n = rand() % (int)sizeof text;
        for (int k = 0; k < n; k++)
            text[k] =
                (char)(rand() % 3 ? rand() % 256 : (int)"\033[\xc2\x9b\xe2\x80\xae"[rand() % 7]);
        text[n] = '\0';
        text_clean(text, true, clean, sizeof clean);
        assert_true(strlen(clean) < sizeof clean);
        wchar_t wide[64];
        size_t characters = mbstowcs(wide, clean, 64);
        assert_true(characters != (size_t)-1);
        for (size_t k = 0; k < characters; k++)
            assert_false(wide[k] < 0x20 || (wide[k] >= 0x7f && wide[k] < 0xa0) ||
                         (wide[k] >= 0x202a && wide[k] <= 0x202e));
    }
}

int main(void)
{
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        printf("skipped: no locale C.UTF-8\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_text_stays_as_it_is),
        cmocka_unit_test(what_steers_a_terminal_is_replaced),
        cmocka_unit_test(what_hides_or_turns_text_is_replaced),
        cmocka_unit_test(what_is_not_utf8_is_replaced_byte_by_byte),
        cmocka_unit_test(marks_do_not_pile_up),
        cmocka_unit_test(beyond_ascii_is_a_question_mark_where_there_is_nothing_else),
        cmocka_unit_test(a_long_text_is_cut_at_a_whole_character),
        cmocka_unit_test(columns_are_counted_as_a_terminal_shows_them),
        cmocka_unit_test(no_bytes_come_through_that_could_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
