// Physical joint limits (paper, Table 1): L = sum max(0, lo - theta)^2 + max(0, theta - hi)^2
//
// angles (B, D) rad: a row for each image | lower, upper (D) rad
#include "joint_limits.h"

// accumulates loss (B)
KERNEL(joint_limits_forward)(const real* angles, const real* lower, const real* upper, real* loss, int B, int D) {
    FOR_EACH_IN_IMAGE(b, B, d, D) {
        const real over = overshoot(angles[(long long)b * D + d], lower[d], upper[d]);
        if (over != 0) ADD(loss + b, over * over);
    }
}

// overwrites grad_angles (B, D)
KERNEL(joint_limits_backward)(const real* grad_loss, const real* angles, const real* lower, const real* upper,
                              real* grad_angles, int B, int D) {
    FOR_EACH_IN_IMAGE(b, B, d, D) {
        const long long at = (long long)b * D + d;
        grad_angles[at] = 2 * grad_loss[b] * overshoot(angles[at], lower[d], upper[d]);
    }
}
