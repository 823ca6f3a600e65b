// The robust difference of two closeness images; image_losses.cu has the equation.
#pragma once
#include "linear.h"

// rho(e), and its derivative (0 at e = 0 also where delta is 0)
DEVICE real huber(real e, real delta) {
    const real size = e < 0 ? -e : e;
    return size > delta ? size - delta / 2 : (delta > 0 ? e * e / (2 * delta) : 0);
}

DEVICE real huber_slope(real e, real delta) {
    const real size = e < 0 ? -e : e;
    return size > delta ? (e > 0 ? (real)1 : (real)-1) : (delta > 0 ? e / delta : 0);
}

// The sum over one row of w rho(f - t), in 8 interleaved sums; w may be null
DEVICE real row_loss(const real* f, const real* t, const real* w, real delta, int S) {
    const bool weighted = w != nullptr;
    real sums[8] = {0};
    int c = 0;
    if (weighted || delta > 0) {
        for (; c + 8 <= S; c += 8)
            for (int lane = 0; lane < 8; ++lane)
                sums[lane] += (weighted ? w[c + lane] : (real)1) * huber(f[c + lane] - t[c + lane], delta);
    } else {
        for (; c + 8 <= S; c += 8)
            for (int lane = 0; lane < 8; ++lane) sums[lane] += fabs(f[c + lane] - t[c + lane]);
    }
    for (; c < S; ++c) sums[0] += (weighted ? w[c] : (real)1) * huber(f[c] - t[c], delta);
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}
