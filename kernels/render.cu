// Point-splat depth renderer (paper, Eq. 9 to 13; the window's bounds are corrected).
//
//   f_ij = max_k (1 - z_k) phi_ij(p_k),   phi_ij(p) = max(0, 1 - ((j - x)^2 + (i - y)^2) / r^2)^2
//   with l the winner of pixel (i, j) and s = 1 - d^2 / r^2:
//   df/dx = 4 (1 - z) / r^2 s (j - x),  df/dy = 4 (1 - z) / r^2 s (i - y),  df/dz = -s^2
//
// points (B, V, 3) crop coordinates: column x, row y in pixels, depth z, 1 at the far face | radius r in pixels
// image (B, S, S) closeness, 0 where nothing is hit | winners (B, S, S) int, -1 where nothing is hit; ties go to the lowest index
#include "linear.h"

struct Splat {
    real x, y, closeness, inverse_r2;
    int row_first, row_last, column_first, column_last;
};

// False where the point renders nothing: z >= 1, not finite, or outside the image.
DEVICE bool make_splat(const real* p, real radius, int S, Splat* splat) {
    splat->x = p[0];
    splat->y = p[1];
    splat->closeness = 1 - p[2];
    splat->inverse_r2 = 1 / (radius * radius);
    const bool inside = p[0] > -radius && p[0] < S - 1 + radius && p[1] > -radius && p[1] < S - 1 + radius;
    if (!inside || !(splat->closeness > 0) || !(splat->closeness < (real)1e30)) return false;
    splat->row_first = (int)max_real(0, ceil(p[1] - radius));
    splat->row_last = (int)min_real(S - 1, floor(p[1] + radius));
    splat->column_first = (int)max_real(0, ceil(p[0] - radius));
    splat->column_last = (int)min_real(S - 1, floor(p[0] + radius));
    return splat->row_first <= splat->row_last && splat->column_first <= splat->column_last;
}

// s = 1 - d^2/r^2 in two steps: across depends on the column alone, so that a column's value serves all rows of a splat.
DEVICE real falloff_across(real dx, real inverse_r2) { return 1 - dx * dx * inverse_r2; }
DEVICE real falloff(real across, real dy, real inverse_r2) { return max_real(across - dy * dy * inverse_r2, 0); }

// Keeps the largest value of each pixel, for WIDTH columns from `first`, all of them inside the image.
template <int WIDTH>
DEVICE void splat_columns(const Splat& splat, int v, int first, int S, real* image, int* winners) {
    real across[WIDTH];
    for (int lane = 0; lane < WIDTH; ++lane) across[lane] = falloff_across(first + lane - splat.x, splat.inverse_r2);
    for (int row = splat.row_first; row <= splat.row_last; ++row) {
        real* f = image + (long long)row * S + first;
        int* w = winners + (long long)row * S + first;
        const real dy = row - splat.y;
        for (int lane = 0; lane < WIDTH; ++lane) {
            const real s = falloff(across[lane], dy, splat.inverse_r2);
            const real value = splat.closeness * s * s;
            const real old = f[lane];
            const int seen = w[lane], wins = -(int)(value > old);
            f[lane] = max_real(value, old);
            w[lane] = seen ^ ((seen ^ v) & wins);  // a choice without a branch or a masked store, which would stall the next splat's load
        }
    }
}

// One image per thread: overwrites image and winners. Windows are widened to 8 or 16 columns inside the image, where the falloff is 0
// beyond the window, so that rows run in lanes of fixed width; wider windows go 8 columns at a time.
KERNEL(render_forward)(const real* points, real* image, int* winners, real radius, int B, int V, int S) {
    FOR_EACH_IMAGE(b, B) {
        real* f = image + (long long)b * S * S;
        int* w = winners + (long long)b * S * S;
        for (int k = 0; k < S * S; ++k) {
            f[k] = 0;
            w[k] = -1;
        }
        for (int v = 0; v < V; ++v) {
            Splat splat;
            if (!make_splat(points + 3 * ((long long)b * V + v), radius, S, &splat)) continue;
            const int width = splat.column_last - splat.column_first + 1;
            if (width <= 8 && S >= 8) {
                splat_columns<8>(splat, v, min_int(splat.column_first, S - 8), S, f, w);
            } else if (width <= 16 && S >= 16) {
                splat_columns<16>(splat, v, min_int(splat.column_first, S - 16), S, f, w);
            } else {
                int column = splat.column_first;
                for (; column + 8 <= splat.column_last + 1; column += 8) splat_columns<8>(splat, v, column, S, f, w);
                for (; column <= splat.column_last; ++column) splat_columns<1>(splat, v, column, S, f, w);
            }
        }
    }
}

// Value and point in one ordered key: larger values first, then lower indices. In double the value's last 20 bits make room.
DEVICE key64 splat_key(real value, int v) {
    if (sizeof(real) == 4) return bits_of(value) << 32 | (key64)(0xffffffffu - (unsigned int)v);
    return (bits_of(value) & ~(key64)0xfffff) | (key64)(0xfffff - v);
}

DEVICE int key_winner(key64 key) {
    if (sizeof(real) == 4) return (int)(0xffffffffu - (unsigned int)(key & 0xffffffffu));
    return 0xfffff - (int)(key & 0xfffff);
}

// One point per thread, first of two passes: raises keys (B, S, S), zero before
KERNEL(render_splat)(const real* points, key64* keys, real radius, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        Splat splat;
        if (!make_splat(points + 3 * ((long long)b * V + v), radius, S, &splat)) continue;
        for (int row = splat.row_first; row <= splat.row_last; ++row) {
            for (int column = splat.column_first; column <= splat.column_last; ++column) {
                const real s = falloff(falloff_across(column - splat.x, splat.inverse_r2), row - splat.y, splat.inverse_r2);
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
KERNEL(render_resolve)(const real* points, const key64* keys, real* image, int* winners, real radius, int B, int V, int S) {
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
KERNEL(render_backward)(const real* grad_image, const real* points, const int* winners, real* grad_points, real radius, int B, int V, int S) {
    FOR_EACH_PIXEL(b, B, row, column, S) {
        const long long at = ((long long)b * S + row) * S + column;
        const int v = winners[at];
        const real g = grad_image[at];
        if (v < 0 || v >= V || g == 0) continue;
        const real* p = points + 3 * ((long long)b * V + v);
        real* out = grad_points + 3 * ((long long)b * V + v);
        const real dx = column - p[0], dy = row - p[1], inverse_r2 = 1 / (radius * radius);
        const real s = falloff(falloff_across(dx, inverse_r2), dy, inverse_r2);
        const real lateral = 4 * (1 - p[2]) * inverse_r2 * s * g;
        ADD(out, lateral * dx);
        ADD(out + 1, lateral * dy);
        ADD(out + 2, -s * s * g);
    }
}
