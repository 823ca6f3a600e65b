// The parts of linear blend skinning; skinning.cu has the equations.
#pragma once
#include "linear.h"

// the blended transform of one vertex, 12 values
DEVICE void blend(const real* transforms, const int* indices, const real* weights, int K, real* blended) {
    for (int c = 0; c < 12; ++c) blended[c] = 0;
    for (int k = 0; k < K; ++k) {
        const real w = weights[k];
        if (w == 0) break;
        const real* m = transforms + 12 * indices[k];
        for (int c = 0; c < 12; ++c) blended[c] += w * m[c];
    }
}

// y = T [p, 1], t (3, 4)
DEVICE void transformed(const real* t, const real* p, real* y) {
    for (int r = 0; r < 3; ++r) y[r] = t[4 * r] * p[0] + t[4 * r + 1] * p[1] + t[4 * r + 2] * p[2] + t[4 * r + 3];
}

// A direction under the linear part of t (3, 4), scaled to unit length
DEVICE void turned(const real* t, const real* direction, real* normal) {
    real n[3];
    for (int r = 0; r < 3; ++r)
        n[r] = t[4 * r] * direction[0] + t[4 * r + 1] * direction[1] + t[4 * r + 2] * direction[2];
    const real length = sqrt(dot3(n, n));
    for (int r = 0; r < 3; ++r) normal[r] = length > 0 ? n[r] / length : 0;
}
