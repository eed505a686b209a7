/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/spin.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/options.h"

void spin_briefly(int argc, char **argv)
{
    char path[PATH_MAX], *args[OPTIONS_MAX * 2 + 2];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0 || getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL ||
        argc + 2 > (int)ARRAY_LEN(args))
        return;
    path[n] = '\0';
    args[0] = program_invocation_name;
    memcpy(args + 1, argv, (size_t)argc * sizeof *args);
    args[argc + 1] = NULL;
    setenv("GOMP_SPINCOUNT", "1000", 1);
    execv(path, args); /* where that fails, all is only slower */
}
