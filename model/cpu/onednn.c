/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cpu/onednn.h"

#include <errno.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "model/cpu/onednn_memory.h"

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

enum { ARG_SRC, ARG_WEIGHTS, ARG_BIAS, ARG_DST, ARG_SCRATCH, ARGS };

struct onednn_primitive {
    struct onednn *onednn;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t plain; /* of the weights as published */
    dnnl_memory_desc_t md[ARGS];
    dnnl_memory_t memory[ARGS];
    dnnl_exec_arg_t args[ARGS];
    int n_args;
};

/* oneDNN's status as an error line. */
static int failed(dnnl_status_t status, const char *what, struct error *error)
{
    static const char *const names[] = {"success",       "out of memory", "invalid arguments",
                                        "unimplemented", "iterator ends", "runtime error",
                                        "not required"};
    int code = status == dnnl_out_of_memory ? ENOMEM : EIO;
    return error_set(error, code, "oneDNN cannot %s: %s", what,
                     (size_t)status < sizeof names / sizeof names[0] ? names[status] : "?");
}

int onednn_open(struct onednn **ret, struct error *error)
{
    struct onednn *o = calloc(1, sizeof *o);
    if (o == NULL)
        return error_set(error, ENOMEM, "out of memory");
    dnnl_status_t status = dnnl_engine_create(&o->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order);
    if (status != dnnl_success) {
        onednn_close(o);
        return failed(status, "use this processor", error);
    }
    *ret = o;
    return 0;
}

void onednn_close(struct onednn *o)
{
    if (o == NULL)
        return;
    if (o->stream != NULL)
        dnnl_stream_destroy(o->stream);
    if (o->engine != NULL)
        dnnl_engine_destroy(o->engine);
    free(o);
}

/* The library chooses the layout of weights unless `like` has chosen already. */
static dnnl_status_t weights_wanted(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims,
                                    const struct onednn_primitive *like)
{
    if (like == NULL)
        return dnnl_memory_desc_init_by_tag(md, rank, dims, dnnl_f32, dnnl_format_tag_any);
    *md = like->md[ARG_WEIGHTS];
    return dnnl_success;
}

/* What happens to the result. */
struct after {
    bool gelu, accumulate;
    float scale; /* 0: none */
};

static dnnl_status_t make_attributes(dnnl_primitive_attr_t *ret, const struct after *after)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(ret);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*ret, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && after->scale != 0)
        status = dnnl_primitive_attr_set_output_scales(*ret, 1, 0, &after->scale);
    if (status == dnnl_success && after->gelu)
        status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_erf, 0, 0);
    if (status == dnnl_success && after->accumulate)
        status = dnnl_post_ops_append_sum(ops, 1);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*ret, ops);
    if (ops != NULL)
        dnnl_post_ops_destroy(ops);
    return status;
}

/* From the operation's descriptor to a primitive whose memories await their places. */
static int finish_create(struct onednn_primitive *p, const void *op, const struct after *after,
                         struct error *error)
{
    static const int arg_ids[ARGS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                                      DNNL_ARG_SCRATCHPAD};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = make_attributes(&attr, after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&p->desc, op, attr, p->onednn->engine, NULL);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->primitive, p->desc);
    if (status != dnnl_success)
        return failed(status, "make the operator", error);
    p->md[ARG_WEIGHTS] = *dnnl_primitive_desc_query_md(p->desc, dnnl_query_weights_md, 0);
    p->md[ARG_SCRATCH] = *dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0);
    for (int i = 0; i < ARGS; i++) {
        if (p->md[i].ndims == 0 && i == ARG_BIAS) /* products have none */
            continue;
        status = dnnl_memory_create(&p->memory[i], &p->md[i], p->onednn->engine, DNNL_MEMORY_NONE);
        if (status != dnnl_success)
            return failed(status, "make the operator's memory", error);
        p->args[p->n_args++] = (dnnl_exec_arg_t){arg_ids[i], p->memory[i]};
    }
    return 0;
}

static int create(struct onednn_primitive **ret, struct onednn *onednn, struct error *error)
{
    *ret = calloc(1, sizeof **ret);
    if (*ret == NULL)
        return error_set(error, ENOMEM, "out of memory");
    (*ret)->onednn = onednn;
    return 0;
}

int onednn_conv_create(struct onednn_primitive **ret, struct onednn *onednn,
                       const struct onednn_conv *s, const struct onednn_primitive *like,
                       struct error *error)
{
    struct onednn_primitive *p;
    int r = create(&p, onednn, error);
    if (r < 0)
        return r;
    const dnnl_dims_t src = {s->n, s->in_c, s->in_h, s->in_w};
    const dnnl_dims_t weights = {s->out_c, s->in_c, s->kernel, s->kernel};
    const dnnl_dims_t bias = {s->out_c}, dst = {s->n, s->out_c, s->out_h, s->out_w};
    const dnnl_dims_t strides = {s->stride, s->stride}, pad = {s->pad, s->pad};
    const dnnl_dim_t step = (dnnl_dim_t)s->src_stride;
    const dnnl_dims_t src_strides = {s->in_h * s->in_w * step, 1, s->in_w * step, step};
    dnnl_memory_desc_t wanted;
    dnnl_convolution_desc_t op;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(&p->md[ARG_SRC], 4, src, dnnl_f32, src_strides);
    if (status == dnnl_success)
        status = weights_wanted(&wanted, 4, weights, like);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&p->md[ARG_BIAS], 1, bias, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&p->md[ARG_DST], 4, dst, dnnl_f32, dnnl_nhwc);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&p->plain, 4, weights, dnnl_f32, dnnl_oihw);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(
            &op, dnnl_forward_inference, dnnl_convolution_direct, &p->md[ARG_SRC], &wanted,
            &p->md[ARG_BIAS], &p->md[ARG_DST], strides, pad, pad);
    r = status != dnnl_success ? failed(status, "describe a convolution", error)
                               : finish_create(p, &op, &(struct after){0}, error);
    if (r < 0) {
        onednn_primitive_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

/* Matmul goes by blocks of 64 columns; where the last is nearly empty, as with the 2C + L + 1 of
 * projection_in, the same as a 1 x 1 convolution is a tenth faster, up to a half with few rows. */
static bool better_as_convolution(const struct onednn_linear *s)
{
    return !s->back && s->n > 64 && s->n % 64 != 0 && s->n % 64 <= 16 && s->src_stride == s->k &&
           !s->gelu && !s->accumulate;
}

int onednn_linear_create(struct onednn_primitive **ret, struct onednn *onednn,
                         const struct onednn_linear *s, const struct onednn_primitive *like,
                         struct error *error)
{
    if (better_as_convolution(s)) {
        struct onednn_conv conv = {.n = 1,
                                   .in_h = 1,
                                   .in_w = (int)s->m,
                                   .in_c = (int)s->k,
                                   .src_stride = s->src_stride,
                                   .out_h = 1,
                                   .out_w = (int)s->m,
                                   .out_c = (int)s->n,
                                   .kernel = 1,
                                   .stride = 1};
        return onednn_conv_create(ret, onednn, &conv, like, error);
    }
    struct onednn_primitive *p;
    int r = create(&p, onednn, error);
    if (r < 0)
        return r;
    const dnnl_dim_t m = (dnnl_dim_t)s->m, n = (dnnl_dim_t)s->n, k = (dnnl_dim_t)s->k;
    const dnnl_dims_t src = {m, k}, weights = {k, n}, bias = {1, n}, dst = {m, n};
    const dnnl_dims_t src_strides = {(dnnl_dim_t)s->src_stride, 1};
    dnnl_memory_desc_t wanted;
    dnnl_matmul_desc_t op;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(&p->md[ARG_SRC], 2, src, dnnl_f32, src_strides);
    if (status == dnnl_success)
        status = weights_wanted(&wanted, 2, weights, like);
    if (status == dnnl_success && !s->back)
        status = dnnl_memory_desc_init_by_tag(&p->md[ARG_BIAS], 2, bias, dnnl_f32, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&p->md[ARG_DST], 2, dst, dnnl_f32, dnnl_ab);
    if (status == dnnl_success) /* published as [n][k] */
        status = dnnl_memory_desc_init_by_tag(&p->plain, 2, weights, dnnl_f32,
                                              s->back ? dnnl_ab : dnnl_ba);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(&op, &p->md[ARG_SRC], &wanted,
                                       s->back ? NULL : &p->md[ARG_BIAS], &p->md[ARG_DST]);
    r = status != dnnl_success
            ? failed(status, "describe a linear layer", error)
            : finish_create(p, &op, &(struct after){.gelu = s->gelu, .accumulate = s->accumulate},
                            error);
    if (r < 0) {
        onednn_primitive_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

static dnnl_status_t strided(dnnl_memory_desc_t *md, int n, int heads, int rows, int cols,
                             const size_t *strides)
{
    const dnnl_dims_t dims = {n, heads, rows, cols};
    dnnl_dims_t steps;
    for (int i = 0; i < 4; i++)
        steps[i] = (dnnl_dim_t)strides[i];
    return dnnl_memory_desc_init_by_strides(md, 4, dims, dnnl_f32, steps);
}

int onednn_products_create(struct onednn_primitive **ret, struct onednn *onednn,
                           const struct onednn_products *s, struct error *error)
{
    struct onednn_primitive *p;
    int r = create(&p, onednn, error);
    if (r < 0)
        return r;
    dnnl_matmul_desc_t op;
    dnnl_status_t status =
        strided(&p->md[ARG_SRC], s->n, s->heads, s->rows, s->inner, s->src_strides);
    if (status == dnnl_success)
        status = strided(&p->plain, s->n, s->heads, s->inner, s->cols, s->weights_strides);
    if (status == dnnl_success)
        status = strided(&p->md[ARG_DST], s->n, s->heads, s->rows, s->cols, s->dst_strides);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(&op, &p->md[ARG_SRC], &p->plain, NULL, &p->md[ARG_DST]);
    r = status != dnnl_success
            ? failed(status, "describe a product", error)
            : finish_create(p, &op, &(struct after){.scale = s->scale, .accumulate = s->accumulate},
                            error);
    if (r < 0) {
        onednn_primitive_destroy(p);
        return r;
    }
    *ret = p;
    return 0;
}

void onednn_primitive_destroy(struct onednn_primitive *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < ARGS; i++)
        if (p->memory[i] != NULL)
            dnnl_memory_destroy(p->memory[i]);
    if (p->primitive != NULL)
        dnnl_primitive_destroy(p->primitive);
    if (p->desc != NULL)
        dnnl_primitive_desc_destroy(p->desc);
    free(p);
}

size_t onednn_weights_bytes(const struct onednn_primitive *p)
{
    return dnnl_memory_desc_get_size(&p->md[ARG_WEIGHTS]);
}

size_t onednn_scratch_bytes(const struct onednn_primitive *p)
{
    return dnnl_memory_desc_get_size(&p->md[ARG_SCRATCH]);
}

int onednn_pack(struct onednn_primitive *p, const float *weights, void *packed, struct error *error)
{
    dnnl_engine_t engine = p->onednn->engine;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    union {
        const float *in;
        void *out;
    } plain = {weights}; /* the library takes what it only reads as void * */
    dnnl_status_t status = dnnl_memory_create(&from, &p->plain, engine, plain.out);
    if (status == dnnl_success)
        status = dnnl_memory_create(&to, &p->md[ARG_WEIGHTS], engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, &p->plain, engine, &p->md[ARG_WEIGHTS],
                                                    engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&reorder, desc);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
        status = dnnl_primitive_execute(reorder, p->onednn->stream, 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(p->onednn->stream);
    if (reorder != NULL)
        dnnl_primitive_destroy(reorder);
    if (desc != NULL)
        dnnl_primitive_desc_destroy(desc);
    if (from != NULL)
        dnnl_memory_destroy(from);
    if (to != NULL)
        dnnl_memory_destroy(to);
    return status != dnnl_success ? failed(status, "pack weights", error) : 0;
}

int onednn_bind(struct onednn_primitive *p, const float *src, const void *packed, const float *bias,
                float *dst, void *scratch, struct error *error)
{
    const void *const places[ARGS] = {src, packed, bias, dst, scratch};
    for (int i = 0; i < ARGS; i++) {
        union {
            const void *in;
            void *out;
        } place = {places[i]};
        if (p->memory[i] == NULL)
            continue;
        dnnl_status_t status = dnnl_memory_set_data_handle(p->memory[i], place.out);
        if (status != dnnl_success)
            return failed(status, "place the operator", error);
    }
    return 0;
}

int onednn_run(struct onednn_primitive *p, struct error *error)
{
    onednn_memory_begin();
    dnnl_status_t status =
        dnnl_primitive_execute(p->primitive, p->onednn->stream, p->n_args, p->args);
    onednn_memory_end();
    return status != dnnl_success ? failed(status, "run the operator", error) : 0;
}

int onednn_sgemm(int n, const float *a, const float *b, float *c)
{
    dnnl_status_t status = dnnl_sgemm('N', 'N', n, n, n, 1, a, n, b, n, 0, c, n);
    return status == dnnl_success ? 0 : -EIO;
}
