// Projection of camera-frame points into the renderer's crop.
//
//   perspective: x = ax X/Z + bx,  y = ay Y/Z + by,  z = az Z + bz
//   affine:      x = ax X + bx,    y = ay Y + by,    z = az Z + bz
//
// points, projected (B, V, 3) | coefficients (B, 6): ax, bx, ay, by, az, bz
// Perspective points at or behind the camera (Z <= 0) go to z = 2, which renders nothing, and have no gradient.
#include "linear.h"

// overwrites projected
KERNEL(project_forward)(const real* points, const real* coefficients, real* projected, int perspective, int B, int V) {
    FOR_EACH_IN_IMAGE(b, B, i, V) {
        const real *p = points + 3 * ((long long)b * V + i), *k = coefficients + 6 * b;
        real* q = projected + 3 * ((long long)b * V + i);
        const bool behind = perspective && !(p[2] > 0);
        const real inverse = perspective ? 1 / (behind ? (real)1 : p[2]) : 1;
        q[0] = k[0] * p[0] * inverse + k[1];
        q[1] = k[2] * p[1] * inverse + k[3];
        q[2] = behind ? (real)2 : k[4] * p[2] + k[5];
    }
}

// overwrites grad_points
KERNEL(project_backward)(const real* grad_projected, const real* points, const real* coefficients, real* grad_points,
                         int perspective, int B, int V) {
    FOR_EACH_IN_IMAGE(b, B, i, V) {
        const long long at = 3 * ((long long)b * V + i);
        const real *p = points + at, *g = grad_projected + at, *k = coefficients + 6 * b;
        real* out = grad_points + at;
        const bool behind = perspective && !(p[2] > 0);
        const real inverse = perspective ? 1 / (behind ? (real)1 : p[2]) : 1;
        const real gx = k[0] * g[0] * inverse, gy = k[2] * g[1] * inverse;
        out[0] = behind ? 0 : gx;
        out[1] = behind ? 0 : gy;
        out[2] = behind ? 0 : k[4] * g[2] - (perspective ? (gx * p[0] + gy * p[1]) * inverse : 0);
    }
}
