/* SPDX-License-Identifier: Apache-2.0
 * Stands in for libFuzzer where the compiler has none: runs a fuzz target once on each file named.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    enum { MAX = 64 << 20 };
    uint8_t *whole = malloc(MAX);
    for (int i = 1; i < argc && whole != NULL; i++) {
        FILE *f = fopen(argv[i], "re");
        if (f == NULL) {
            perror(argv[i]);
            free(whole);
            return 1;
        }
        size_t n = fread(whole, 1, MAX, f);
        fclose(f);
        /* exactly sized, so that sanitizers see a read beyond the end */
        uint8_t *data = malloc(n > 0 ? n : 1);
        for (size_t k = 0; data != NULL && k < n; k++)
            data[k] = whole[k];
        if (data != NULL)
            LLVMFuzzerTestOneInput(data, n);
        free(data);
    }
    free(whole);
    printf("%d files replayed\n", argc - 1);
    return 0;
}
