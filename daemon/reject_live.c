/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reject_live.h"

#include <math.h>

struct model_reject reject_in_use(const struct config_live *live, const struct model_info *info)
{
    struct model_reject reject = info->preprocess.reject;
    if (isnan(live->reject)) /* auto */
        return reject;
    if (isinf(live->reject)) /* off */
        return (struct model_reject){.score = REJECT_NONE};
    if (reject.score == REJECT_NONE)
        reject.score = REJECT_COSINE;
    reject.below = (float)live->reject;
    return reject;
}
