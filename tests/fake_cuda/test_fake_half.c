/* SPDX-License-Identifier: Apache-2.0
 * Conversions to half precision round to nearest even, like CUDA's. */
#include <math.h>

#include "tests/fake_cuda/test_fake.h"

/* The value of a number with so many bits of exponent and mantissa, from their definition. */
static double value_of(unsigned bits, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    double mantissa = bits & ((1u << mantissa_bits) - 1), sign = bits & 0x8000u ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa > 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

struct format {
    int exponent_bits, mantissa_bits;
    uint16_t (*from_float)(float);
    float (*to_float)(uint16_t);
};

static const struct format formats[] = {
    {5, 10, half_from_float, half_to_float},
    {8, 7, bfloat16_from_float, bfloat16_to_float},
};

static void every_number_converts_to_float_and_back(void **state)
{
    for (size_t f = 0; f < 2; f++) {
        for (unsigned bits = 0; bits < 0x10000u; bits++) {
            double want = value_of(bits, formats[f].exponent_bits, formats[f].mantissa_bits);
            float got = formats[f].to_float((uint16_t)bits);
            if (isnan(want)) {
                assert_true(isnan(got));
                assert_int_equal(formats[f].from_float(got), 0x7fff);
                continue;
            }
            assert_true((double)got == want && !signbit(got) == !(bits & 0x8000u));
            assert_int_equal(formats[f].from_float(got), bits);
        }
    }
}

/* Between every two neighbours: what is below the middle goes down, above it up, it to the even. */
static void what_lies_between_goes_to_the_nearest_or_even(void **state)
{
    for (size_t f = 0; f < 2; f++) {
        const struct format *format = &formats[f];
        unsigned infinity = ((1u << format->exponent_bits) - 1) << format->mantissa_bits;
        for (unsigned low = 0; low < infinity; low++) {
            unsigned high = low + 1, even = low & 1 ? high : low;
            double a = value_of(low, format->exponent_bits, format->mantissa_bits);
            double b = high == infinity
                           ? ldexp(1, 1 << (format->exponent_bits - 1))
                           : value_of(high, format->exponent_bits, format->mantissa_bits);
            float middle = (float)((a + b) / 2); /* exact: one more bit */
            float below = nextafterf(middle, 0), above = nextafterf(middle, INFINITY);
            assert_int_equal(format->from_float(middle), even);
            assert_int_equal(format->from_float(-middle), even | 0x8000u);
            assert_int_equal(format->from_float(below), low);
            assert_int_equal(format->from_float(above), high);
            assert_int_equal(format->from_float(-above), high | 0x8000u);
        }
        assert_int_equal(format->from_float(3.4e38f), infinity);
        assert_int_equal(format->from_float(INFINITY), infinity);
        assert_int_equal(format->from_float(1e-45f), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(every_number_converts_to_float_and_back),
        test(what_lies_between_goes_to_the_nearest_or_even),
    };
    return cmocka_run_group_tests_name("fake_half", tests, NULL, NULL);
}
