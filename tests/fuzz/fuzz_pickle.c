/* SPDX-License-Identifier: Apache-2.0
 * Fuzzes the pickles of checkpoints: whatever the bytes, one line says why not, or every tensor has
 * a name and lies within its storage. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/weights/torch_tree.h"

static void must(int condition)
{
    if (!condition)
        abort();
}

/* The highest element of a view, slowly: what was accepted must not overflow. */
static void check_tensor(const struct torch_tree *tree, const struct torch_tensor *t)
{
    must(t->storage < tree->n_storages && t->name != NULL && t->name[0] != '\0');
    const struct torch_storage *s = tree->storages[t->storage];
    must(s->index == t->storage && s->dtype == t->dtype && t->rank <= SAFETENSORS_MAX_RANK);
    must(s->bytes == s->cells * dtype_size(s->dtype));
    must(torch_tree_storage(tree, s->key, strlen(s->key)) == s);
    unsigned __int128 last = t->offset, cells = 1;
    for (int i = 0; i < t->rank; i++) {
        must(t->shape[i] >= 0 && t->stride[i] >= 0);
        cells *= (unsigned __int128)t->shape[i];
        if (t->shape[i] > 0)
            last += (unsigned __int128)(t->shape[i] - 1) * (unsigned __int128)t->stride[i];
    }
    must(cells == t->cells);
    must(cells == 0 ? t->offset <= s->cells : last < s->cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct torch_tree tree;
    struct error error = {""};
    size_t used = 0;
    int r = torch_tree_read(&tree, "a.ckpt", data, size, &used, &error);
    if (r < 0) {
        must(r == -EINVAL && strncmp(error.text, "a.ckpt: ", 8) == 0);
        for (const char *c = error.text; *c != '\0'; c++)
            must((unsigned char)*c >= 0x20 && *c != 0x7f);
    } else {
        must(used > 0 && used <= size && data[used - 1] == '.');
        for (size_t i = 0; i < tree.n_tensors; i++)
            check_tensor(&tree, &tree.tensors[i]);
        for (size_t i = 1; i < tree.n_tensors; i++)
            must(strcmp(tree.by_name[i - 1]->name, tree.by_name[i]->name) < 0);
    }
    torch_tree_clear(&tree);
    return 0;
}
