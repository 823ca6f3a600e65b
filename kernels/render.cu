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
    int row_first, row_last;
};

// False where the point renders nothing: z >= 1, not finite, or outside the image.
DEVICE bool make_splat(const real* p, real radius, int S, Splat* splat) {
    splat->x = p[0];
    splat->y = p[1];
    splat->closeness = 1 - p[2];
    splat->inverse_r2 = 1 / (radius * radius);
    const bool inside = p[0] > -radius && p[0] < S - 1 + radius && p[1] > -radius && p[1] < S - 1 + radius;
    if (!inside || !(splat->closeness > 0) || !(splat->closeness < (real)1e30)) return false;
    splat->row_first = max_int(0, (int)ceil(p[1] - radius));
    splat->row_last = min_int(S - 1, (int)floor(p[1] + radius));
    return splat->row_first <= splat->row_last;
}

// The columns of one row that the splat can reach, and 1 - dy^2/r^2. False where there are none.
DEVICE bool row_window(const Splat& splat, int row, real radius, int S, int* first, int* last, real* height) {
    const real dy = row - splat.y;
    *height = 1 - dy * dy * splat.inverse_r2;
    if (!(*height > 0)) return false;
    const real reach = radius * sqrt(*height);
    *first = max_int(0, (int)ceil(splat.x - reach));
    *last = min_int(S - 1, (int)floor(splat.x + reach));
    return *first <= *last;
}

DEVICE real splat_falloff(real height, real dx, real inverse_r2) { return height - dx * dx * inverse_r2; }

// One image per thread: overwrites image and winners. Windows are widened to whole groups of 8 columns inside the image,
// where the falloff is negative beyond the window, so that rows run in fixed-width lanes.
KERNEL(render_forward)(const real* points, real* image, int* winners, real radius, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, once, 1) {
        real* f = image + (long long)b * S * S;
        int* w = winners + (long long)b * S * S;
        for (int k = 0; k < S * S; ++k) {
            f[k] = 0;
            w[k] = -1;
        }
        for (int v = 0; v < V; ++v) {
            Splat splat;
            if (!make_splat(points + 3 * ((long long)b * V + v), radius, S, &splat)) continue;
            for (int row = splat.row_first; row <= splat.row_last; ++row) {
                int first, last;
                real height;
                if (!row_window(splat, row, radius, S, &first, &last, &height)) continue;
                const int groups = (last - first + 8) / 8;
                const bool wide = 8 * groups <= S;
                if (wide) first = min_int(first, S - 8 * groups);
                real* f_row = f + (long long)row * S + first;
                int* w_row = w + (long long)row * S + first;
                const real offset = first - splat.x;
                if (wide) {
                    for (int group = 0; group < groups; ++group)
                        for (int lane = 0; lane < 8; ++lane) {
                            const int c = 8 * group + lane;
                            const real s = max_real(splat_falloff(height, offset + c, splat.inverse_r2), 0);
                            const real value = splat.closeness * s * s;
                            const bool wins = value > f_row[c];
                            f_row[c] = wins ? value : f_row[c];
                            w_row[c] = wins ? v : w_row[c];
                        }
                } else {
                    for (int c = 0; c <= last - first; ++c) {
                        const real s = max_real(splat_falloff(height, offset + c, splat.inverse_r2), 0);
                        const real value = splat.closeness * s * s;
                        if (value > f_row[c]) {
                            f_row[c] = value;
                            w_row[c] = v;
                        }
                    }
                }
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
            int first, last;
            real height;
            if (!row_window(splat, row, radius, S, &first, &last, &height)) continue;
            for (int column = first; column <= last; ++column) {
                const real s = splat_falloff(height, column - splat.x, splat.inverse_r2);
                const real value = splat.closeness * s * s;
                if (!(s > 0) || !(value > 0)) continue;
                key64* slot = keys + ((long long)b * S + row) * S + column;
                const key64 key = splat_key(value, v);
                if (key > *slot) atomic_max_key(slot, key);
            }
        }
    }
}

// Second pass, one pixel per thread: overwrites image and winners
KERNEL(render_resolve)(const real* points, const key64* keys, real* image, int* winners, real radius, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, pixel, S * S) {
        const long long at = (long long)b * S * S + pixel;
        image[at] = 0;
        winners[at] = -1;
        if (keys[at] == 0) continue;
        const int v = key_winner(keys[at]);
        const real* p = points + 3 * ((long long)b * V + v);
        const real dx = pixel % S - p[0], dy = pixel / S - p[1], inverse_r2 = 1 / (radius * radius);
        const real s = splat_falloff(1 - dy * dy * inverse_r2, dx, inverse_r2);
        image[at] = (1 - p[2]) * s * s;
        winners[at] = v;
    }
}

// accumulates grad_points (B, V, 3), in crop coordinates
KERNEL(render_backward)(const real* grad_image, const real* points, const int* winners, real* grad_points, real radius, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, pixel, S * S) {
        const long long at = (long long)b * S * S + pixel;
        const int v = winners[at];
        const real g = grad_image[at];
        if (v < 0 || v >= V || g == 0) continue;
        const real* p = points + 3 * ((long long)b * V + v);
        real* out = grad_points + 3 * ((long long)b * V + v);
        const real dx = pixel % S - p[0], dy = pixel / S - p[1], inverse_r2 = 1 / (radius * radius);
        const real s = splat_falloff(1 - dy * dy * inverse_r2, dx, inverse_r2);
        const real lateral = 4 * (1 - p[2]) * inverse_r2 * s * g;
        ADD(out, lateral * dx);
        ADD(out + 1, lateral * dy);
        ADD(out + 2, -s * s * g);
    }
}
