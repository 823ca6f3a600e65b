// Point-splat depth renderer (paper, Eq. 9 to 13; the window's bounds are corrected).
//
//   f_ij = max_k (1 - z_k) phi_ij(p_k),   phi_ij(p) = max(0, 1 - ((j - x)^2 + (i - y)^2) / r^2)^2
//   with l the winner of pixel (i, j) and s = 1 - d^2 / r^2:
//   df/dx = 4 (1 - z) / r^2 s (j - x),  df/dy = 4 (1 - z) / r^2 s (i - y),  df/dz = -s^2
//
// points (B, V, 3) crop coordinates: column x, row y in pixels, depth z, 1 at the far face | radius r in pixels
// image (B, S, S) closeness, 0 where nothing is hit | winners (B, S, S) int, -1 where nothing is hit; the lowest index
// wins a tie
#include "robust.h"
#include "splat.h"

#if IMAGE_KERNELS
// One image per thread: overwrites image and winners
KERNEL(splat_forward)(const real* points, real* image, int* winners, real radius, int B, int V, int S) {
    FOR_EACH_IMAGE(b, B) {
        const long long at = (long long)b * S * S;
        render_image(points + 3 * (long long)b * V, image + at, winners + at, radius, V, S);
    }
}
#endif

// Value and point in one ordered key: larger values first, then lower indices. In double precision the index takes the
// place of the value's last 20 bits.
DEVICE key64 splat_key(real value, int v) {
    if (sizeof(real) == 4) return bits_of(value) << 32 | (key64)(0xffffffffu - (unsigned int)v);
    return (bits_of(value) & ~(key64)0xfffff) | (key64)(0xfffff - v);
}

DEVICE int key_winner(key64 key) {
    if (sizeof(real) == 4) return (int)(0xffffffffu - (unsigned int)(key & 0xffffffffu));
    return 0xfffff - (int)(key & 0xfffff);
}

// One point per thread, first of two passes: raises keys (B, S, S), zero before
KERNEL(splat_scatter)(const real* points, key64* keys, real radius, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        Splat splat;
        if (!make_splat(points + 3 * ((long long)b * V + v), radius, S, &splat)) continue;
        for (int row = splat.row_first; row <= splat.row_last; ++row) {
            for (int column = splat.column_first; column <= splat.column_last; ++column) {
                const real s =
                    falloff(falloff_across(column - splat.x, splat.inverse_r2), row - splat.y, splat.inverse_r2);
                const real value = splat.closeness * s * s;
                if (!(value > 0)) continue;
                key64* slot = keys + ((long long)b * S + row) * S + column;
                const key64 key = splat_key(value, v);
                if (key > *slot) atomic_max_key(slot, key);
            }
        }
    }
}

// Second pass, one pixel per thread: overwrites image and winners
KERNEL(splat_resolve)(const real* points, const key64* keys, real* image, int* winners, real radius, int B, int V,
                      int S) {
    FOR_EACH_PIXEL(b, B, row, column, S) {
        const long long at = ((long long)b * S + row) * S + column;
        image[at] = 0;
        winners[at] = -1;
        if (keys[at] == 0) continue;
        const int v = key_winner(keys[at]);
        const real* p = points + 3 * ((long long)b * V + v);
        const real inverse_r2 = 1 / (radius * radius);
        const real s = falloff(falloff_across(column - p[0], inverse_r2), row - p[1], inverse_r2);
        image[at] = (1 - p[2]) * s * s;
        winners[at] = v;
    }
}

// accumulates grad_points (B, V, 3), in crop coordinates
KERNEL(splat_backward)(const real* grad_image, const real* points, const int* winners, real* grad_points, real radius,
                       int B, int V, int S) {
    FOR_EACH_PIXEL(b, B, row, column, S) {
        const long long at = ((long long)b * S + row) * S + column;
        const int v = winners[at];
        const real grad_pixel = grad_image[at];
        if (v < 0 || v >= V || grad_pixel == 0) continue;
        const real* p = points + 3 * ((long long)b * V + v);
        real* out = grad_points + 3 * ((long long)b * V + v);
        const real inverse_r2 = 1 / (radius * radius), lateral = lateral_factor(p, inverse_r2);
        real grad[3];
        pixel_gradient(p, grad_pixel, row, column, inverse_r2, grad);
        ADD(out, lateral * grad[0]);
        ADD(out + 1, lateral * grad[1]);
        ADD(out + 2, -grad[2]);
    }
}

#if IMAGE_KERNELS
// Splat loss in one pass: render, compare (image_losses.cu), and the gradient of the points. One image per thread, which
// keeps the rendered image and its winners in scratch memory that stays in the cache. A GPU runs splat_scatter,
// splat_resolve, depth_loss_* and splat_backward instead.
//
// points (B, V, 3) crop coordinates | target, weight (I, S, S) | index (B) int
// scratch_image, scratch_winners (threads, S, S) | scratch_sums (threads, V, 4)
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
