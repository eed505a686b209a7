/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/stop.h"

#include <stddef.h>

#include "base/memory.h"

volatile sig_atomic_t stop_signal;

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

static void notice(int number)
{
    stop_signal = number;
}

void stop_listen(void)
{
    struct sigaction action = {.sa_handler = notice, .sa_flags = SA_RESETHAND};
    struct sigaction before;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL); /* nohup stays nohup */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

void stop_obey(void)
{
    int number = stop_signal;
    if (number == 0)
        return;
    signal(number, SIG_DFL);
    raise(number);
}
