// One splat and one image of the point-splat renderer; splat.cu has the equations.
#pragma once
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

// s = 1 - d^2/r^2 in two steps: `across` depends on the column alone, so that its value serves all rows of a splat.
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
            const int previous = w[lane], wins = -(int)(value > old);
            f[lane] = max_real(value, old);
            // Selects without a branch or a masked store, which would stall the load of the next splat.
            w[lane] = previous ^ ((previous ^ v) & wins);
        }
    }
}

// Renders one image: overwrites f and w (S, S). Windows are widened to 8 or 16 columns inside the image, where the
// falloff is 0 beyond the window, so that rows run in lanes of fixed width; wider windows go 8 columns at a time.
DEVICE void render_image(const real* points, real* f, int* w, real radius, int V, int S) {
    for (int k = 0; k < S * S; ++k) {
        f[k] = 0;
        w[k] = -1;
    }
    for (int v = 0; v < V; ++v) {
        Splat splat;
        if (!make_splat(points + 3 * v, radius, S, &splat)) continue;
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

// The contribution of a pixel to the gradient of its winner: grad_pixel times s (j - x), s (i - y) and s^2.
// The point's gradient follows from the sums of these over its pixels.
DEVICE void pixel_gradient(const real* p, real grad_pixel, int row, int column, real inverse_r2, real* grad) {
    const real dx = column - p[0], dy = row - p[1];
    const real s = falloff(falloff_across(dx, inverse_r2), dy, inverse_r2), gs = grad_pixel * s;
    grad[0] = gs * dx;
    grad[1] = gs * dy;
    grad[2] = gs * s;
}

DEVICE real lateral_factor(const real* p, real inverse_r2) { return 4 * (1 - p[2]) * inverse_r2; }
