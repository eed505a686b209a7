/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/wisdom.h"

#include "daemon/log.h"
#include "dsp/stft.h"

static const char wisdom_name[] = "fftw-wisdom";

void wisdom_load(const struct config *config)
{
    char path[1024];
    if (config_cache_file(config, wisdom_name, path, sizeof path) == 0)
        stft_wisdom_load(path);
}

void wisdom_save(const struct config *config)
{
    char path[1024];
    struct error error;
    if (config_cache_file(config, wisdom_name, path, sizeof path) == 0 &&
        stft_wisdom_save(path, &error) < 0)
        log_line(LOG_LEVEL_DEBUG, "%s", error.text);
}
