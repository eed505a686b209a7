/* SPDX-License-Identifier: Apache-2.0
 * focal-term: what focald hears, on a terminal. A client like any other, through libfocal. */
#include <locale.h>
#include <signal.h>

#include "viewers/term/options.h"

int main(int argc, char **argv)
{
    struct options options;
    setlocale(LC_CTYPE, "");
    int status = options_parse(&options, argc, argv);
    if (status >= 0)
        return status;
    signal(SIGPIPE, SIG_IGN); /* a closed output is an error of writing */
    return options.once ? once_run(&options) : live_run(&options);
}
