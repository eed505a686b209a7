/* SPDX-License-Identifier: Apache-2.0
 * The random numbers of training: xoshiro256** (Blackman and Vigna 2018), seeded by splitmix64. Its
 * state is a plain struct of 32 bytes, to be kept in a checkpoint as it is. What is drawn for a
 * clip comes from a stream of its own, made of the run's seed, the epoch and the clip's number, so
 * that it does not depend on which thread asks first. No state is shared: one struct, one thread.
 */
#ifndef FOCALD_MODEL_TRAIN_RANDOM_H
#define FOCALD_MODEL_TRAIN_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4]; /* not all zero */
};

void random_seed(struct random *ret, uint64_t seed);
/* The stream of a clip (or of anything else that has a number) in an epoch. Streams of different
 * arguments have different states and no relation to each other. */
void random_stream(struct random *ret, uint64_t seed, uint64_t epoch, uint64_t index);

/* One step of splitmix64: moves *state and returns its next value. */
uint64_t random_splitmix(uint64_t *state);

uint64_t random_bits(struct random *random);  /* 64 of them, all values equally likely */
double random_uniform(struct random *random); /* [0, 1), a multiple of 2^-53 */
double random_between(struct random *random, double low,
                      double high); /* [low, high]; low <= high */
/* low..high, both included, all equally likely; low <= high. */
int64_t random_integer(struct random *random, int64_t low, int64_t high);
bool random_chance(struct random *random, double probability); /* true with that probability */
double random_normal(struct random *random); /* mean 0, variance 1 (Box and Muller 1958) */
/* Beta(a, a), for mixup's weight (Marsaglia and Tsang 2000); 0.5 exactly in the middle. a > 0. */
double random_beta(struct random *random, double a);

/* Puts the n items into an order, each of the n! as likely as the others (Fisher and Yates). */
void random_shuffle(struct random *random, uint32_t *items, size_t n);

#endif
