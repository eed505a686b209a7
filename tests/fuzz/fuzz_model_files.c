/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes a model's small files, the first byte says which: config.json, preprocess.json,
 * labels.txt. What is accepted is within the bounds that the rest of focald relies on. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_internal.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

static int config(const char *text, size_t size, struct error *error)
{
    struct net_config c = {.kind = NET_FOCALNET};
    int r = net_config_parse(&c, text, size, "config.json", error);
    if (r < 0)
        return r;
    *net_head(&c) = (struct head_config){.dim = 192, .classes = 50};
    for (int i = 0; i < net_maps(&c, false); i++) {
        int rows, cols;
        net_map_size(&c, i, &rows, &cols);
        must(rows >= 1 && rows <= 1100 && cols >= 1 && cols <= 1100);
    }
    if (net_parameters(&c) > 0) /* nothing where the graph is refused */
        must(net_flops(&c, false) > 0);
    return 0;
}

static int preprocess(const char *text, size_t size, struct error *error)
{
    struct model_preprocess p = {0};
    int r = preprocess_parse(&p, text, size, "preprocess.json", error);
    if (r == 0)
        must(p.hop_length > 0 && p.win_length <= p.n_fft && p.win_length <= p.window_samples &&
             p.window_samples / p.hop_length <= 8000 && p.scale > 0);
    return r;
}

static int labels(const char *text, size_t size, struct error *error)
{
    const char *const *list = NULL;
    int n = 0;
    int r = labels_parse(text, size, "labels.txt", &list, &n, error);
    if (r < 0)
        must(list == NULL);
    else
        must(n >= 1 && n <= MODEL_MAX_CLASSES);
    for (int i = 0; i < n; i++)
        must(list[i][0] != '\0' && text_is_printable(list[i]));
    free((void *)list);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const parsers[])(const char *, size_t, struct error *) = {config, preprocess,
                                                                           labels};
    if (size < 1)
        return 0;
    struct error error = {""};
    /* exactly sized, so that a read beyond the end is seen */
    char *text = malloc(size - 1 > 0 ? size - 1 : 1);
    must(text != NULL);
    memcpy(text, data + 1, size - 1);
    int r = parsers[data[0] % 3](text, size - 1, &error);
    must(r == 0 || r == -EINVAL);
    must(r == 0 || error.text[0] != '\0');
    for (const char *c = error.text; *c != '\0'; c++)
        must((unsigned char)*c >= 0x20 && *c != 0x7f);
    free(text);
    return 0;
}
