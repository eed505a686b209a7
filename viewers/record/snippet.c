/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/snippet.h"

#include <stdlib.h>

void snippet_destroy(struct snippet *s)
{
    if (s == NULL)
        return;
    free(s->scores);
    free(s->input);
    free(s->audio);
    free(s->picture.spec);
    free(s->picture.mask);
    free(s);
}
