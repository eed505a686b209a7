/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/info.h"

#include "daemon/analysis.h"
#include "daemon/reject_live.h"
#include "daemon/reject_write.h"

json_t *info_model(const struct model_info *info)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:f}", "name", info->name, "architecture",
                     info->architecture, "interpreter", interpreter_name(info->interpreter), "hash",
                     info->hash, "classes", info->n_classes, "parameters",
                     (json_int_t)info->parameters, "gflops", info->flops * 1e-9);
}

static json_t *info_labels(const struct model_info *info)
{
    json_t *labels = json_array();
    for (int i = 0; i < info->n_classes; i++)
        json_array_append_new(labels, json_string(info->labels[i]));
    return labels;
}

static json_t *info_maps(const struct model_info *info)
{
    json_t *maps = json_array();
    for (int i = 0; i < info->n_maps; i++)
        json_array_append_new(maps, json_pack("[i, i]", info->maps[i].rows, info->maps[i].cols));
    return maps;
}

static json_t *info_preprocess(const struct model_info *info)
{
    const struct model_preprocess *p = &info->preprocess;
    struct stft_shape shape = analysis_shape(info);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:s, s:s, s:b, s:[i, i], s:f}",
                     "rate_hz", p->sample_rate, "window_samples", p->window_samples, "n_fft",
                     p->n_fft, "win_length", p->win_length, "hop_length", p->hop_length, "window",
                     "hamming", "frames", (int)stft_frames(&shape, (size_t)p->window_samples),
                     "bins", stft_bins(&shape), "normalize", "max", "resize", "bilinear",
                     "antialias", (int)p->antialias, "image", info->image_rows, info->image_cols,
                     "scale", (double)p->scale);
}

static json_t *info_live(const struct config_live *live, const struct model_info *info,
                         double audio_delay_s)
{
    const struct model_preprocess *p = &info->preprocess;
    const struct model_reject reject = reject_in_use(live, info);
    return json_pack("{s:o, s:f, s:i, s:i, s:f, s:i, s:f, s:f, s:f, s:f, s:f}", "reject",
                     reject_json(&reject), "quantile", live->quantile, "hop_frames",
                     live->hop_frames, "hop_samples", live->hop_frames * p->hop_length,
                     "silence_gate_dbfs", live->silence_gate_db, "top_k", live->top_k, "event_on",
                     live->event_on, "event_off", live->event_off, "event_min_s", live->event_min_s,
                     "batch_wait_s", live->batch_wait_s, "audio_delay_s", audio_delay_s);
}

json_t *info_stream(const struct model_info *info, const struct config_live *live,
                    double audio_delay_s, const struct pipeline_compute *compute)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:i}", "model", info_model(info),
                     "labels", info_labels(info), "maps", info_maps(info), "preprocess",
                     info_preprocess(info), "analysis", info_live(live, info, audio_delay_s),
                     "backend", compute->backend, "precision", precision_name(compute->precision),
                     "threads", compute->threads);
}
