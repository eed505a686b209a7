/* SPDX-License-Identifier: Apache-2.0
 * focal-web: one page for everybody, of what focald hears and what was heard. */
#include <stdio.h>
#include <stdlib.h>

#include "viewers/web/password.h"
#include "viewers/web/server.h"
#include "viewers/web/settings.h"

int main(int argc, char **argv)
{
    static struct settings settings;
    enum settings_action action;
    struct error error;
    int code = settings_read(&settings, &action, argc, argv, &error);
    if (code == 0 && action == ACTION_SET_PASSWORD)
        code = password_write(settings.password_file, stdin, &error);
    if (code == 0 && action == ACTION_CHECK && settings.password_file[0] != '\0') {
        struct password password;
        code = password_read(&password, settings.password_file, &error);
    }
    if (code == 0 && action == ACTION_SERVE)
        code = server_run(&settings, &error);
    if (code == 0 && action == ACTION_CHECK)
        puts("the settings are good");
    if (code != 0)
        fprintf(stderr, "focal-web: %s\n", error.text);
    return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
