/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/random.h"

#include <assert.h>
#include <math.h>

uint64_t random_splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void random_seed(struct random *ret, uint64_t seed)
{
    for (int i = 0; i < 4; i++) /* splitmix64 gives no value twice: at most one word is zero */
        ret->state[i] = random_splitmix(&seed);
}

void random_stream(struct random *ret, uint64_t seed, uint64_t epoch, uint64_t index)
{
    /* Each argument is added to a mixed word, which a neighbouring argument cannot undo. */
    uint64_t mixed = random_splitmix(&seed) + epoch;
    mixed = random_splitmix(&mixed) + index;
    random_seed(ret, random_splitmix(&mixed));
}

static uint64_t rotated(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t random_bits(struct random *random)
{
    uint64_t *s = random->state, result = rotated(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return result;
}

double random_uniform(struct random *random)
{
    return (double)(random_bits(random) >> 11) * 0x1p-53;
}

double random_between(struct random *random, double low, double high)
{
    return low + (high - low) * random_uniform(random);
}

int64_t random_integer(struct random *random, int64_t low, int64_t high)
{
    assert(low <= high);
    uint64_t span = (uint64_t)high - (uint64_t)low + 1; /* 0: all 2^64 */
    if (span == 0)
        return (int64_t)random_bits(random);
    uint64_t surplus = -span % span, bits; /* 2^64 mod span: the values that would favour some */
    do
        bits = random_bits(random);
    while (bits < surplus);
    return (int64_t)((uint64_t)low + bits % span);
}

bool random_chance(struct random *random, double probability)
{
    return random_uniform(random) < probability;
}

double random_normal(struct random *random)
{
    double radius = sqrt(-2 * log(1 - random_uniform(random))); /* log's argument is in (0, 1] */
    return radius * cos(2 * M_PI * random_uniform(random));
}

/* Gamma(a, 1); for a < 1 by Gamma(a + 1) and a power, as Marsaglia and Tsang propose. Returns its
 * logarithm, which does not vanish for small a. */
static double log_gamma_variate(struct random *random, double a)
{
    double boost = a < 1 ? log(1 - random_uniform(random)) / a : 0;
    double d = (a < 1 ? a + 1 : a) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(random), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - random_uniform(random)) < x * x / 2 + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

double random_beta(struct random *random, double a)
{
    assert(a > 0);
    double first = log_gamma_variate(random, a), second = log_gamma_variate(random, a);
    return 1 / (1 + exp(second - first));
}

void random_shuffle(struct random *random, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)random_integer(random, 0, (int64_t)i - 1);
        uint32_t item = items[i - 1];
        items[i - 1] = items[k];
        items[k] = item;
    }
}
