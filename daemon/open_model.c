/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/open_model.h"

#include <stdio.h>

int open_model(struct model **ret, const struct config *config, struct error *error)
{
    char dir[sizeof config->model_dir];
    enum interpreter interpreter;
    int r = interpreter_parse(config->interpreter, &interpreter, error);
    if (r == 0)
        r = config_model_dir(config, dir, sizeof dir, error);
    return r < 0 ? r : model_open_with(ret, dir, interpreter, error);
}

int open_runner(struct runner **ret, const struct model *model, const struct runner_config *config,
                struct error *error)
{
    struct runner_config with = *config;
    with.fallback = true;
    int r = runner_create(ret, model, &with, error);
    if (r == 0 && runner_trouble(*ret)[0] != '\0')
        fprintf(stderr, "focald: the GPU cannot be used, on the CPU instead: %s\n",
                runner_trouble(*ret));
    return r;
}
