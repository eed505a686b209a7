/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/drops.h"

#include "model/nets/drop_path.h"
#include "model/train/random.h"

static const uint64_t stream = UINT64_C(1) << 59; /* beside those of images */

void drops_draw(float *ret, int n, int branches, double rate, uint64_t seed, uint64_t step,
                uint64_t first)
{
    for (int i = 0; i < n; i++) {
        struct random random;
        random_stream(&random, seed, step, stream + first + (uint64_t)i);
        for (int k = 0; k < branches; k++) {
            const double stays = 1 - drop_path_probability(rate, k, branches);
            *ret++ = random_chance(&random, stays) ? (float)(1 / stays) : 0;
        }
    }
}
