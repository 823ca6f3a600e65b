// Linear blend skinning (paper, Eq. 1 to 8).
//
//   f_bi = sum_k w_ik M_b,j(i,k) p_i                              (Eq. 1, 6)
//   dL/dM_bj = sum_i w_ij g_bi [p_i, 1]^T, g = dL/df              (Eq. 5)
//   dL/dp_i  = sum_b (sum_k w_ik M_b,j(i,k))^T g_bi               (Eq. 8; the homogeneous coordinate has no gradient)
//
// transforms (B, J, 3, 4) | rest (V, 3) | indices (V, K) int, weights (V, K): zero weights stand last | posed (B, V, 3)
#include "skinning.h"

// overwrites posed; rest of image b at b * rest_stride, 0 where all images share it
KERNEL(skin_forward)(const real* transforms, const real* rest, const int* indices, const real* weights, real* posed,
                     int rest_stride, int B, int J, int V, int K) {
    FOR_EACH_IN_IMAGE(b, B, i, V) {
        real t[12];
        blend(transforms + 12 * (long long)b * J, indices + (long long)i * K, weights + (long long)i * K, K, t);
        transformed(t, rest + (long long)b * rest_stride + 3 * i, posed + 3 * ((long long)b * V + i));
    }
}

// rest as in skin_forward
// accumulates grad_transforms (B, J, 3, 4)
// overwrites grad_rest_images (B, V, 3), whose sum over b is Eq. 8, if with_rest
KERNEL(skin_backward)(const real* grad_posed, const real* transforms, const real* rest, const int* indices,
                      const real* weights, real* grad_transforms, real* grad_rest_images, int with_rest,
                      int rest_stride, int B, int J, int V, int K) {
    FOR_EACH_IN_IMAGE(b, B, i, V) {
        const real* g = grad_posed + 3 * ((long long)b * V + i);
        real grad_point[4] = {0};
        const int* joints = indices + (long long)i * K;
        const real* w = weights + (long long)i * K;
        const real* p = rest + (long long)b * rest_stride + 3 * i;
        const real point[4] = {p[0], p[1], p[2], 1};
        const bool used = g[0] != 0 || g[1] != 0 || g[2] != 0;
        for (int k = 0; used && k < K; ++k) {
            const real weight = w[k];
            if (weight == 0) break;
            const long long at = 12 * ((long long)b * J + joints[k]);
            for (int r = 0; r < 3; ++r) {
                const real grad_blended = weight * g[r];
                for (int c = 0; c < 4; ++c) grad_point[c] += grad_blended * transforms[at + 4 * r + c];
                for (int c = 0; c < 4; ++c) ADD(grad_transforms + at + 4 * r + c, grad_blended * point[c]);
            }
        }
        for (int c = 0; with_rest && c < 3; ++c) grad_rest_images[3 * ((long long)b * V + i) + c] = grad_point[c];
    }
}

// Directions under the linear part of the blended transform, scaled to unit length. overwrites normals (B, V, 3)
KERNEL(skin_normals)(const real* transforms, const real* rest_normals, const int* indices, const real* weights,
                     real* normals, int B, int J, int V, int K) {
    FOR_EACH_IN_IMAGE(b, B, i, V) {
        real t[12];
        blend(transforms + 12 * (long long)b * J, indices + (long long)i * K, weights + (long long)i * K, K, t);
        turned(t, rest_normals + 3 * i, normals + 3 * ((long long)b * V + i));
    }
}

// Points that move linearly with coefficients: out_b = base + sum_s coefficient_bs basis_s, LANES neighbours at once.
// base (N) | basis (S, N) | coefficients (B, S) | overwrites out (B, N)
KERNEL(blend_shapes)(const real* base, const real* basis, const real* coefficients, real* out, int B, int S, int N) {
    FOR_EACH_IN_IMAGE(b, B, group, (N + LANES - 1) / LANES) {
        const int first = group * LANES, count = min_int(LANES, N - first);
        const real* c = coefficients + (long long)b * S;
        real sums[LANES] = {0};
        for (int lane = 0; lane < count; ++lane) sums[lane] = base[first + lane];
        for (int s = 0; s < S; ++s) {
            const real* moved = basis + (long long)s * N + first;
            if (count == LANES)
                for (int lane = 0; lane < LANES; ++lane) sums[lane] += c[s] * moved[lane];
            else
                for (int lane = 0; lane < count; ++lane) sums[lane] += c[s] * moved[lane];
        }
        for (int lane = 0; lane < count; ++lane) out[(long long)b * N + first + lane] = sums[lane];
    }
}

// overwrites total (N): the sum over b of parts (B, N), in the order of b, for LANES neighbours at once
KERNEL(sum_over_batch)(const real* parts, real* total, int B, int N) {
    FOR_EACH(group, (N + LANES - 1) / LANES) {
        const int first = (int)group * LANES, count = min_int(LANES, N - first);
        real sums[LANES] = {0};
        for (int b = 0; b < B; ++b) {
            const real* part = parts + (long long)b * N + first;
            if (count == LANES)
                for (int lane = 0; lane < LANES; ++lane) sums[lane] += part[lane];
            else
                for (int lane = 0; lane < count; ++lane) sums[lane] += part[lane];
        }
        for (int lane = 0; lane < count; ++lane) total[first + lane] = sums[lane];
    }
}
