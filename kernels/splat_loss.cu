// Splat loss in one pass: render, compare, and the gradient of the points (splat.cu and image_losses.cu have the
// equations).
//
// One image per thread, which keeps the rendered image and its winners in scratch memory that stays in the cache. A GPU
// runs splat_scatter, splat_resolve, depth_loss_* and splat_backward instead.
//
// points (B, V, 3) crop coordinates | target, weight (I, S, S) | index (B) int
// scratch_image, scratch_winners (threads, S, S) | scratch_sums (threads, V, 4)
#include "robust.h"
#include "splat.h"

#if IMAGE_KERNELS
// overwrites loss (B), the mean of w rho(f - t), and grad_points (B, V, 3), its gradient times grad_loss (B)
KERNEL(splat_loss)(const real* grad_loss, const real* points, const real* target, const real* weight, const int* index,
                   real* scratch_image, int* scratch_winners, real* scratch_sums, real* loss, real* grad_points,
                   real radius, real delta, int B, int V, int S, int weighted) {
    FOR_EACH_IMAGE(b, B) {
        const long long scratch = (long long)THREAD_INDEX * S * S, to = (long long)index[b] * S * S;
        real* f = scratch_image + scratch;
        int* winners = scratch_winners + scratch;
        const real* p = points + 3 * (long long)b * V;
        real* grad = grad_points + 3 * (long long)b * V;
        render_image(p, f, winners, radius, V, S);
        const real grad_mean = grad_loss[b] / ((real)S * S), inverse_r2 = 1 / (radius * radius);
        real* sums = scratch_sums + 4 * (long long)THREAD_INDEX * V;
        for (int k = 0; k < 4 * V; ++k) sums[k] = 0;
        real total = 0;
        for (int row = 0; row < S; ++row) {
            const real *f_row = f + row * S, *t = target + to + row * S,
                       *w = weighted ? weight + to + row * S : nullptr;
            total += row_loss(f_row, t, w, delta, S) / ((real)S * S);
            for (int column = 0; column < S; ++column) {
                const int v = winners[row * S + column];
                if (v < 0) continue;
                const real slope = huber_slope(f_row[column] - t[column], delta);
                const real grad_pixel = grad_mean * (w ? w[column] : (real)1) * slope;
                real grad_point[4] = {0, 0, 0, 0};
                pixel_gradient(p + 3 * v, grad_pixel, row, column, inverse_r2, grad_point);
                for (int c = 0; c < 4; ++c) sums[4 * v + c] += grad_point[c];
            }
        }
        loss[b] = total;
        for (int v = 0; v < V; ++v) {
            const real lateral = lateral_factor(p + 3 * v, inverse_r2);
            grad[3 * v] = lateral * sums[4 * v];
            grad[3 * v + 1] = lateral * sums[4 * v + 1];
            grad[3 * v + 2] = -sums[4 * v + 2];
        }
    }
}
#endif
