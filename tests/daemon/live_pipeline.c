/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/daemon/live_pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct config_live live_parameters = {.quantile = 0.9,
                                            .hop_frames = 43,
                                            .silence_gate_db = -60,
                                            .top_k = 3,
                                            .event_on = 0.6,
                                            .event_off = 0.4};

static int no_request(void *user, const json_t *request, uint64_t ticket, json_t **ret_reply,
                      struct error *error)
{
    (void)user, (void)request, (void)ret_reply;
    return error_set(error, EINVAL, "not here");
}

static void start_publisher(struct live_pipeline *l, const struct pipeline_stream *streams)
{
    struct error error = {""};
    const char *names[LIVE_STREAMS];
    for (int i = 0; i < l->n_streams; i++)
        names[i] = streams[i].name;
    const struct publisher_config publisher = {.ipc_dir = l->dir,
                                               .send_hwm = 100000,
                                               .streams = names,
                                               .n_streams = l->n_streams,
                                               .request = no_request};
    if (publisher_create(&l->publisher, &publisher, &error) < 0)
        fail_msg("%s", error.text);
}

static void start_pipeline(struct live_pipeline *l, const struct pipeline_config *chosen)
{
    struct error error = {""};
    struct pipeline_config config = *chosen;
    struct pipeline_stream streams[LIVE_STREAMS];
    for (int i = 0; i < l->n_streams; i++) {
        assert_int_equal(ring_create(&l->rings[i], 1 << 20, &error), 0);
        streams[i] = chosen->streams[i];
        streams[i].ring = l->rings[i];
    }
    config.model = chosen->model != NULL ? chosen->model : l->model;
    config.threads = 1;
    config.publisher = l->publisher;
    config.audio_delay_s = -1;
    config.quality = RESAMPLER_FAST;
    config.streams = streams;
    if (pipeline_create(&l->pipeline, &config, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(pipeline_start(l->pipeline, &error), 0);
}

void live_start(struct live_pipeline *l, const struct pipeline_config *config, const char *topics,
                enum topic last)
{
    struct error error = {""};
    char model[512], data[96];
    assert_in_range(config->n_streams, 1, LIVE_STREAMS);
    *l = (struct live_pipeline){.dir = "/tmp/focald-test-XXXXXX", .n_streams = config->n_streams};
    assert_non_null(mkdtemp(l->dir));
    snprintf(data, sizeof data, "ipc://%s/data", l->dir);
    snprintf(model, sizeof model, "%s/tests/data/baseline", getenv("FOCALD_SOURCE"));
    if (model_open(&l->model, model, &error) < 0)
        fail_msg("%s", error.text);
    start_publisher(l, config->streams);
    start_pipeline(l, config);
    const struct focal_options options = {.data = data, .receive_hwm = 100000};
    assert_int_equal(focal_open(&l->focal, &options), 0);
    assert_int_equal(focal_subscribe(l->focal, topics), 0);
    while (!publisher_wants(l->publisher, l->n_streams - 1, last))
        usleep(1000);
}

void live_stop(struct live_pipeline *l)
{
    focal_close(l->focal);
    pipeline_destroy(l->pipeline);
    publisher_destroy(l->publisher);
    for (int i = 0; i < l->n_streams; i++)
        ring_destroy(l->rings[i]);
    model_close(l->model);
    rmdir(l->dir);
}
