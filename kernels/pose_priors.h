// What is expected of a pose: squares of deviations, or nearly so. One thread has all of a pose.
//
//   prior     deviations from the expected angles, and of each follower's flexion from its share of its leader's
//   size      deviations of log scale and proportions from 0, and from an estimate of the hand's shape, if there is one
//   temporal  robust deviations from the pose that a track expects, if it expects one
//
// Where derivatives are asked for, half of the gradient g (P) and the lower triangle of the Hessian h (P, P) are added to.
#pragma once
#include "elementary.h"
#include "pose_axes.h"

#define FLEXION 2

// precision (A, 3) of angles | followers (F, 2) rows of angles | lower, upper (A, 3) | columns (A, 3): of the parameters
// shape_mean (1 + S), shape_precision (1 + S, 1 + S): of log scale and proportions
// temporal_pose: angles (A, 3), rotation (9), translation (3) | temporal_weight, temporal_width (6 + 3 A)
struct Priors {
    const real* precision;
    const int* followers;
    const real *shape_mean, *shape_precision, *temporal_pose, *temporal_weight, *temporal_width, *lower, *upper;
    const int* columns;
    real weight, follow_share, follow_precision, size_weight, proportion_weight, limits_weight;
    int has_shape, has_temporal, A, S, P, F;
};

// What pulls a pose, in the order of the parameters: it adds to the gradient and to the diagonal of the Hessian.
DEVICE void pull(const Priors* p, int parameter, real gradient, real curvature, real* h, real* g) {
    if (h == nullptr || parameter < 0) return;
    g[parameter] += gradient;
    h[parameter * p->P + parameter] += curvature;
}

// The prior of angles. h, g: nullptr where derivatives are not asked for
DEVICE real angle_prior(const Priors* p, const real* angles, const real* expected, real* h, real* g) {
    real sum = 0;
    for (int i = 0; i < 3 * p->A; ++i) {
        const real offset = angles[i] - expected[i], weight = p->weight * p->precision[i];
        sum += p->precision[i] * offset * offset;
        pull(p, p->columns[i], weight * offset, weight, h, g);
        const real over = (angles[i] > p->upper[i] ? angles[i] - p->upper[i] : 0) -
                          (angles[i] < p->lower[i] ? p->lower[i] - angles[i] : 0);
        if (over != 0) pull(p, p->columns[i], p->limits_weight * over, p->limits_weight, h, g);
    }
    for (int f = 0; f < p->F; ++f) {
        const int own = 3 * p->followers[2 * f] + FLEXION, leader = 3 * p->followers[2 * f + 1] + FLEXION;
        const real lag = angles[own] - p->follow_share * angles[leader], weight = p->weight * p->follow_precision;
        sum += p->follow_precision * lag * lag;
        const int i = p->columns[own], k = p->columns[leader];
        pull(p, i, weight * lag, weight, h, g);
        pull(p, k, -weight * p->follow_share * lag, weight * p->follow_share * p->follow_share, h, g);
        if (h != nullptr && i >= 0 && k >= 0) h[max_int(i, k) * p->P + min_int(i, k)] -= weight * p->follow_share;
    }
    return p->weight * sum;
}

// The prior of the logarithm of the scale and of proportions, and what is known of the hand's shape
DEVICE real size_prior(const Priors* p, real log_scale, const real* proportions, real* h, real* g) {
    const int first = p->P - p->S;
    real sum = p->size_weight * log_scale * log_scale;
    pull(p, RIGID - 1, p->size_weight * log_scale, p->size_weight, h, g);
    for (int s = 0; s < p->S; ++s) {
        sum += p->proportion_weight * proportions[s] * proportions[s];
        pull(p, first + s, p->proportion_weight * proportions[s], p->proportion_weight, h, g);
    }
    for (int i = 0; i < (p->has_shape ? 1 + p->S : 0); ++i) {
        const int row = i ? first + i - 1 : RIGID - 1;
        const real off = (i ? proportions[i - 1] : log_scale) - p->shape_mean[i];
        real slope = 0;
        for (int j = 0; j <= p->S; ++j) {
            const real precision = p->shape_precision[i * (1 + p->S) + j];
            slope += precision * ((j ? proportions[j - 1] : log_scale) - p->shape_mean[j]);
            if (h != nullptr && j <= i) h[row * p->P + (j ? first + j - 1 : RIGID - 1)] += precision;
        }
        sum += slope * off;
        if (h != nullptr) g[row] += slope;
    }
    return sum;
}

// The rotation vector of a (3, 3) b^T, of less than half a turn
DEVICE void turn_between(const real* a, const real* b, real* turn) {
    real r[9];
    matmul3_transposed_right(a, b, r);
    const real skew[3] = {r[7] - r[5], r[2] - r[6], r[3] - r[1]};
    const real cosine = (real)0.5 * (r[0] + r[4] + r[8] - 1);
    const real angle = arccosine(cosine < -1 ? -1 : cosine > 1 ? 1 : cosine), sine = (real)0.5 * sqrt(dot3(skew, skew));
    for (int i = 0; i < 3; ++i) turn[i] = skew[i] * ((real)0.5 * angle / max_real(sine, (real)1e-9));
}

// What a track expects of a pose; beyond the widths deviations count less and less
DEVICE real temporal_prior(const Priors* p, const real* angles, const real* rotation, const real* translation, real* h,
                           real* g) {
    if (!p->has_temporal) return 0;
    const real *expected_rotation = p->temporal_pose + 3 * p->A, *expected_translation = expected_rotation + 9;
    real turn[3], sum = 0;
    turn_between(rotation, expected_rotation, turn);
    for (int i = 0; i < 6 + 3 * p->A; ++i) {
        const int parameter = i < 6 ? i : p->columns[i - 6];
        if (parameter < 0) continue;
        real offset = i < 3 ? turn[i] : 0;
        if (i >= 3 && i < 6) offset = translation[i - 3] - expected_translation[i - 3];
        if (i >= 6) offset = angles[i - 6] - p->temporal_pose[i - 6];
        const real ratio = offset / p->temporal_width[i], robust = 1 / (1 + ratio * ratio);
        const real weight = p->temporal_weight[i] * robust * robust;
        sum += p->temporal_weight[i] * offset * offset * robust;
        pull(p, parameter, weight * offset, weight, h, g);
    }
    return sum;
}
