// Normal equations of a loss by the position x of each vertex: loss(x + d) is about loss(x) + 2 b.d + d^T A d, where
// A = sum w j j^T and b = sum w r j of residuals r with gradients j (Gauss-Newton), so 2 b is the loss's gradient.
//
// Stored as 9 numbers for each vertex: xx, xy, xz, yy, yz, zz of A, then b. Kernels accumulate.
#pragma once
#include "linear.h"

#define VERTEX_NORMAL_EQUATIONS 9

// b += scale * r j,  A += scale * j j^T
DEVICE void add_residual(real* vertex_normal_equations, real scale, const real* j, real r) {
    int entry = 0;
    for (int i = 0; i < 3; ++i)
        for (int k = i; k < 3; ++k) ADD(vertex_normal_equations + entry++, scale * j[i] * j[k]);
    for (int i = 0; i < 3; ++i) ADD(vertex_normal_equations + 6 + i, scale * r * j[i]);
}

// y = A x
DEVICE void apply_hessian(const real* vertex_normal_equations, const real* x, real* y) {
    y[0] = vertex_normal_equations[0] * x[0] + vertex_normal_equations[1] * x[1] + vertex_normal_equations[2] * x[2];
    y[1] = vertex_normal_equations[1] * x[0] + vertex_normal_equations[3] * x[1] + vertex_normal_equations[4] * x[2];
    y[2] = vertex_normal_equations[2] * x[0] + vertex_normal_equations[4] * x[1] + vertex_normal_equations[5] * x[2];
}

// The robust function of Geman and McClure of a squared residual e, s^2 e / (s^2 + e), and its derivative by e
DEVICE real robust(real e, real sigma) { return sigma * sigma * e / (sigma * sigma + e); }

DEVICE real robust_slope(real e, real sigma) {
    const real ratio = sigma * sigma / (sigma * sigma + e);
    return ratio * ratio;
}
