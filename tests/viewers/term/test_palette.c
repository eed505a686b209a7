/* SPDX-License-Identifier: Apache-2.0
 * Louder looks brighter, in as many colours as there are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "viewers/term/palette.h"

/* Relative luminance, WCAG. */
static double luminance(uint32_t rgb)
{
    double sum = 0;
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    for (int c = 0; c < 3; c++) {
        double v = (rgb >> (16 - 8 * c) & 0xff) / 255.0;
        sum += weight[c] * (v <= 0.03928 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return sum;
}

static double lightness(uint32_t rgb)
{
    return 116 * cbrt(luminance(rgb)) - 16;
}

static void louder_is_never_darker_in_true_colour(void **state)
{
    struct palette p;
    palette_fill(&p, PALETTE_TRUE);
    for (int g = 0; g < PALETTE_GLOWS; g++)
        for (int l = 1; l < PALETTE_LEVELS; l++)
            assert_true(luminance((uint32_t)p.colour[g][l]) >=
                        luminance((uint32_t)p.colour[g][l - 1]) - 1e-3);
}

/* 240 colours are coarse: a step of the cube may be off by some, a tenth of the range may not. */
static void louder_is_brighter_in_256_colours(void **state)
{
    struct palette p;
    palette_fill(&p, PALETTE_256);
    for (int g = 0; g < PALETTE_GLOWS; g++)
        for (int l = 0; l < PALETTE_LEVELS; l++) {
            assert_in_range(p.colour[g][l], 16, 255);
            if (l >= PALETTE_LEVELS / 4)
                assert_true(lightness(palette_rgb_of_256(p.colour[g][l])) >
                            lightness(palette_rgb_of_256(p.colour[g][l - PALETTE_LEVELS / 4])));
        }
}

static void what_glows_differs_from_what_does_not(void **state)
{
    for (double level = 0.2; level <= 1; level += 0.1)
        assert_true(lightness(palette_rgb(level, 1)) > lightness(palette_rgb(level, 0)) + 5);
    struct palette p;
    palette_fill(&p, PALETTE_8);
    int differ = 0;
    for (int l = 0; l < PALETTE_LEVELS; l++)
        differ += p.colour[0][l] != p.colour[PALETTE_GLOWS - 1][l];
    assert_true(differ > PALETTE_LEVELS / 2);
}

static void the_colours_of_xterm_are_found_again(void **state)
{
    for (int c = 16; c < 256; c++) /* two names for one colour are possible */
        assert_int_equal(palette_rgb_of_256(palette_nearest_256(palette_rgb_of_256(c))),
                         palette_rgb_of_256(c));
    assert_int_equal(palette_rgb_of_256(196), 0xff0000);
    assert_int_equal(palette_rgb_of_256(21), 0x0000ff);
    assert_int_equal(palette_rgb_of_256(244), 0x808080);
}

static void no_true_colour_is_mistaken_for_the_terminals_own(void **state)
{
    struct palette p;
    palette_fill(&p, PALETTE_TRUE);
    for (int g = 0; g < PALETTE_GLOWS; g++)
        for (int l = 0; l < PALETTE_LEVELS; l++)
            assert_in_range(p.colour[g][l], 8, 0xffffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(louder_is_never_darker_in_true_colour),
        cmocka_unit_test(louder_is_brighter_in_256_colours),
        cmocka_unit_test(what_glows_differs_from_what_does_not),
        cmocka_unit_test(the_colours_of_xterm_are_found_again),
        cmocka_unit_test(no_true_colour_is_mistaken_for_the_terminals_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
