// Observed points and their nearest vertices; closest_points.cu has the equations.
#pragma once
#include "vertex_normal_equations.h"

// LANES observed points, and the nearest vertex so far of each
struct Search {
    real x[LANES], y[LANES], z[LANES], best[LANES];
    int winner[LANES];
};

// Starts with `count` points; the remaining lanes repeat the first.
DEVICE void start_search(Search* search, const real* observed, int count) {
    for (int lane = 0; lane < LANES; ++lane) {
        const real* o = observed + 3 * (lane < count ? lane : 0);
        search->x[lane] = o[0];
        search->y[lane] = o[1];
        search->z[lane] = o[2];
        search->best[lane] = (real)1e30;
        search->winner[lane] = -1;
    }
}

DEVICE void visit_vertex(Search* search, real x, real y, real z, int number) {
    for (int lane = 0; lane < LANES; ++lane) {
        const real dx = search->x[lane] - x, dy = search->y[lane] - y, dz = search->z[lane] - z;
        const real d2 = dx * dx + dy * dy + dz * dz;
        const int wins = -(int)(d2 < search->best[lane]);  // all bits or none: compilers vectorise a selection by bits
        search->best[lane] = min_real(d2, search->best[lane]);
        search->winner[lane] = (number & wins) | (search->winner[lane] & ~wins);
    }
}

// The nearest of V vertices that face the camera. x, n (V, 3)
DEVICE void search_facing(Search* search, const real* x, const real* n, int V) {
    for (int v = 0; v < V; ++v)
        if (dot3(n + 3 * v, x + 3 * v) < 0) visit_vertex(search, x[3 * v], x[3 * v + 1], x[3 * v + 2], v);
}

DEVICE real closest_error(const real* o, const real* x, const real* n, real plane, real* difference, real* along) {
    for (int c = 0; c < 3; ++c) difference[c] = o[c] - x[c];
    *along = dot3(n, difference);
    return plane * *along * *along + (1 - plane) * dot3(difference, difference);
}

// Gauss-Newton, weighted by the slope of the robust function. scale: weight / N | accumulates q (9)
DEVICE void add_closest(const real* difference, const real* normal, real along, real e, real scale, real sigma,
                        real plane, real* q) {
    const real weight = scale * robust_slope(e, sigma);
    add_residual(q, weight * plane, normal, -along);
    ADD(q, weight * (1 - plane));
    ADD(q + 3, weight * (1 - plane));
    ADD(q + 5, weight * (1 - plane));
    for (int c = 0; c < 3; ++c) ADD(q + 6 + c, -weight * (1 - plane) * difference[c]);
}
