// One vertex against free space; free_space.cu has the equations.
#pragma once
#include "field.h"
#include "vertex_normal_equations.h"

struct Place {
    real outside, dx, dy;  // d_v and its derivative by column and row
    real in_front;         // g_v
};

DEVICE bool make_place(const real* p, const real* k, const real* field, const real* nearest_depth, real mm_per_px,
                       real margin, int S, Place* place) {
    if (!(p[2] > 0)) return false;
    const real column = k[0] * p[0] / p[2] + k[1], row = k[2] * p[1] / p[2] + k[3];
    if (!(column - column == 0) || !(row - row == 0)) return false;
    place->outside = field_distance(field, column, row, mm_per_px, S, &place->dx, &place->dy);
    place->in_front = 0;
    if (column > -0.5 && row > -0.5 && column < S - (real)0.5 && row < S - (real)0.5) {
        const int i = min_int((int)(row + (real)0.5), S - 1), j = min_int((int)(column + (real)0.5), S - 1);
        const real depth = nearest_depth[i * S + j];
        if (depth > 0) place->in_front = max_real(0, depth - margin - p[2]);
    }
    return true;
}

// rho(d^2) + front rho(g^2)
DEVICE real place_loss(const Place* place, real sigma, real front) {
    return robust(place->outside * place->outside, sigma) + front * robust(place->in_front * place->in_front, sigma);
}

// Gauss-Newton; a vertex in front is pushed back along z alone. p (3) | k (6): coefficients | accumulates q (9)
DEVICE void add_place(const Place* place, const real* p, const real* k, real scale, real sigma, real front, real* q) {
    if (place->outside > 0) {
        const real gx = place->dx * k[0] / p[2], gy = place->dy * k[2] / p[2];
        const real j[3] = {gx, gy, -(gx * p[0] + gy * p[1]) / p[2]};
        add_residual(q, scale * robust_slope(place->outside * place->outside, sigma), j, place->outside);
    }
    if (place->in_front > 0) {
        const real weight = scale * front * robust_slope(place->in_front * place->in_front, sigma);
        ADD(q + 5, weight);
        ADD(q + 8, -weight * place->in_front);
    }
}
