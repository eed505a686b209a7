/* SPDX-License-Identifier: Apache-2.0 */
#include "model/train/loss.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const names[] = {[LOSS_AM] = "am", [LOSS_AAM] = "aam", [LOSS_CE] = "ce"};

const char *loss_name(enum loss_kind kind)
{
    return names[kind];
}

bool loss_by_name(const char *name, enum loss_kind *ret)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum loss_kind)i;
            return true;
        }
    return false;
}

/* The float32 nearest to 1 - 1e-7, where the published code clamps float32 cosines. */
static const double CLAMPED = 1 - 0x1p-23;

/* One class's logit and its derivative by the cosine. */
struct logit {
    double z, slope;
};

static struct logit angular_logit(const struct loss_options *o, double cosine, bool target)
{
    bool clamped = fabs(cosine) > CLAMPED;
    double c = clamped ? copysign(CLAMPED, cosine) : cosine;
    struct logit l = {c, 1};
    if (target) {
        double m = o->margin, sine = sqrt(1 - c * c);
        if (c > (o->easy_margin ? 0 : cos(M_PI - m))) {
            l.z = c * cos(m) - sine * sin(m);
            l.slope = cos(m) + c / sine * sin(m);
        } else if (!o->easy_margin) {
            l.z = c - m * sin(M_PI - m);
        }
    }
    return (struct logit){o->scale * l.z, clamped ? 0 : o->scale * l.slope};
}

static struct logit logit(const struct loss_options *o, double cosine, bool target)
{
    if (o->kind == LOSS_AAM)
        return angular_logit(o, cosine, target);
    if (o->kind == LOSS_AM)
        return (struct logit){o->scale * (target ? cosine - o->margin : cosine), o->scale};
    return (struct logit){cosine, 1};
}

/* The loss of one row by one label; its gradient times `weight` is added to grad: [C]. */
static double label_loss(const struct loss_options *o, const float *cosines, int classes, int label,
                         double weight, float *grad)
{
    double largest = -(double)INFINITY, sum = 0, mean = 0;
    for (int k = 0; k < classes; k++)
        largest = fmax(largest, logit(o, (double)cosines[k], k == label).z);
    for (int k = 0; k < classes; k++) {
        double z = logit(o, (double)cosines[k], k == label).z - largest;
        sum += exp(z);
        mean += z / classes;
    }
    for (int k = 0; k < classes; k++) {
        struct logit l = logit(o, (double)cosines[k], k == label);
        double t = (k == label ? 1 - o->smoothing : 0) + o->smoothing / classes;
        double wrong = exp(l.z - largest) / sum - t;
        grad[k] = (float)((double)grad[k] + weight * wrong * l.slope);
    }
    double own = logit(o, (double)cosines[label], true).z - largest;
    return log(sum) - (1 - o->smoothing) * own - o->smoothing * mean;
}

static bool all_finite(const float *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static void fill(float *x, int n, float value)
{
    for (int i = 0; i < n; i++)
        x[i] = value;
}

static double row_loss(const struct loss_options *o, const float *cosines, int classes,
                       const struct loss_target *t, double weight, float *grad)
{
    if (!all_finite(cosines, classes)) {
        fill(grad, classes, NAN);
        return (double)NAN;
    }
    double a = t->label_a == t->label_b ? 1 : (double)t->weight_a, loss = 0;
    fill(grad, classes, 0);
    if (a > 0)
        loss += a * label_loss(o, cosines, classes, t->label_a, a * weight, grad);
    if (a < 1)
        loss += (1 - a) * label_loss(o, cosines, classes, t->label_b, (1 - a) * weight, grad);
    return loss;
}

static bool is_class(int32_t label, int classes)
{
    return label >= 0 && label < classes;
}

int loss_classes(const struct loss_options *options, const float *cosines,
                 const struct loss_target *targets, int n, int classes, double *ret_loss,
                 float *ret_grad, double *ret_rows, struct error *error)
{
    for (int i = 0; i < n; i++) {
        const struct loss_target *t = &targets[i];
        if (!is_class(t->label_a, classes) || !is_class(t->label_b, classes))
            return error_set(error, EINVAL, "row %d of the batch: label %d is none of %d classes",
                             i, is_class(t->label_a, classes) ? t->label_b : t->label_a, classes);
        if (!(t->weight_a >= 0 && t->weight_a <= 1))
            return error_set(error, EINVAL, "row %d of the batch: the weight %g is not in 0..1", i,
                             (double)t->weight_a);
    }
    double sum = 0;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)classes;
        double loss = row_loss(options, cosines + at, classes, &targets[i], 1.0 / n, ret_grad + at);
        if (ret_rows != NULL)
            ret_rows[i] = loss;
        sum += loss;
    }
    *ret_loss = sum / n;
    return 0;
}

double loss_squares(const float *x, const float *target, int n, int width, float *ret_grad)
{
    double sum = 0, cells = (double)n * width;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)width;
        bool broken = !all_finite(x + at, width) || !all_finite(target + at, width);
        for (size_t k = at; k < at + (size_t)width; k++) {
            double difference = broken ? (double)NAN : (double)x[k] - (double)target[k];
            sum += difference * difference;
            if (ret_grad != NULL)
                ret_grad[k] = (float)(2 * difference / cells);
        }
    }
    return sum / cells;
}

double loss_cosine(const float *x, const float *target, int n, int width, float *ret_grad)
{
    const double shortest = 1e-12;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)width;
        const float *a = x + at, *b = target + at;
        bool broken = !all_finite(a, width) || !all_finite(b, width);
        double aa = 0, bb = 0, ab = 0;
        for (int k = 0; k < width; k++) {
            aa += (double)a[k] * (double)a[k];
            bb += (double)b[k] * (double)b[k];
            ab += (double)a[k] * (double)b[k];
        }
        double length_a = fmax(sqrt(aa), shortest), length_b = fmax(sqrt(bb), shortest);
        double cosine = broken ? (double)NAN : ab / (length_a * length_b);
        /* d cosine / d a = b / (|a| |b|) - cosine a / |a|^2; at the shortest length only b counts
         */
        double of_a = sqrt(aa) > shortest ? cosine / aa : 0, of_b = 1 / (length_a * length_b);
        for (int k = 0; k < width; k++)
            ret_grad[at + (size_t)k] =
                broken ? NAN : (float)((of_a * (double)a[k] - of_b * (double)b[k]) / n);
        sum += 1 - cosine;
    }
    return sum / n;
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double loss_binary(const float *x, const float *target, int n, int width, float *ret_grad)
{
    double sum = 0, cells = (double)n * width;
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)width;
        bool broken = !all_finite(x + at, width);
        for (int k = 0; k < width; k++) {
            float t = target[at + (size_t)k];
            broken |= !(t >= 0 && t <= 1);
        }
        for (size_t k = at; k < at + (size_t)width; k++) {
            double z = broken ? (double)NAN : (double)x[k], t = (double)target[k];
            sum += fmax(z, 0) + (broken ? (double)NAN : log1p(exp(-fabs(z)))) - t * z;
            ret_grad[k] = (float)((sigmoid(z) - t) / cells);
        }
    }
    return sum / cells;
}

void loss_marks(const float *x, size_t n, float threshold, uint8_t *ret)
{
    float largest = -INFINITY;
    for (size_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (size_t i = 0; i < n; i++)
        ret[i] = x[i] > threshold * largest;
}

double loss_mask(const float *mask, const uint8_t *marks, int n, int width, float *ret_grad)
{
    const double shortest = 1e-10;
    const size_t cells = (size_t)n * (size_t)width;
    double sum = 0;
    for (size_t i = 0; i < cells; i++) {
        const double m = (double)mask[i], near = (marks[i] ? m : 1 - m) + shortest;
        sum -= log(near);
        if (ret_grad != NULL)
            ret_grad[i] = (float)((marks[i] ? -1 : 1) / near / (double)cells);
    }
    return sum / (double)cells;
}
