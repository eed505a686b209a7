/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/open_model.h"

int open_model(struct model **ret, const struct config *config, struct error *error)
{
    char dir[sizeof config->model_dir];
    enum interpreter interpreter;
    int r = interpreter_parse(config->interpreter, &interpreter, error);
    if (r == 0)
        r = config_model_dir(config, dir, sizeof dir, error);
    return r < 0 ? r : model_open_with(ret, dir, interpreter, error);
}
