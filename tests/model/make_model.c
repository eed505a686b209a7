/* SPDX-License-Identifier: Apache-2.0
 * make_model DIR CONFIG.json [CLASSES [PIQ_KEYS]]: a model directory of hashed weights, to try
 * things with. CONFIG.json may be the word focalnet or vit: a small one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/text_file.h"
#include "tests/model/made_model.h"

int main(int argc, char **argv)
{
    struct error error;
    char *text = NULL;
    size_t length;
    if (argc < 3) {
        fprintf(stderr, "usage: make_model DIR CONFIG.json|focalnet|vit [CLASSES [PIQ_KEYS]]\n");
        return 2;
    }
    const char *config = strcmp(argv[2], "vit") == 0        ? made_vit
                         : strcmp(argv[2], "focalnet") == 0 ? made_focalnet
                                                            : NULL;
    int r = config == NULL ? text_file_read(argv[2], &text, &length, &error) : 0;
    if (r == 0)
        r = made_model(argv[1], config != NULL ? config : text, argc > 3 ? atoi(argv[3]) : 50,
                       argc > 4 ? atoi(argv[4]) : 0, &error);
    if (r < 0)
        fprintf(stderr, "make_model: %s\n", error.text);
    free(text);
    return r < 0;
}
