// A step of a pose's parameters, limited to what the linear model can foresee.
#pragma once
#include "elementary.h"
#include "pose_axes.h"

// The most that a step may change, and what poses keep to
struct Bounds {
    real turn, shift, relative, smallest_scale, largest_scale, proportion;
};

DEVICE real within(real value, real lower, real upper) {
    return value < lower ? lower : value > upper ? upper : value;
}

// A vector (3), shortened where it is longer
DEVICE void shortened(const real* vector, real longest, real* result) {
    const real factor = min_real(1, longest / max_real(sqrt(dot3(vector, vector)), (real)1e-12));
    for (int i = 0; i < 3; ++i) result[i] = vector[i] * factor;
}

DEVICE real moved_angle(real angle, real step, const Bounds* bounds) {
    return angle + within(step, -bounds->turn, bounds->turn);
}

// exp([w]x) R for the tangent w (3), by Rodrigues' formula. rotation, moved (9)
DEVICE void moved_rotation(const real* rotation, const real* tangent, const Bounds* bounds, real* moved) {
    real turn[3];
    shortened(tangent, bounds->turn, turn);
    const real angle = max_real(sqrt(dot3(turn, turn)), (real)1e-12), half = sin(angle / 2) / angle;
    const real first = sin(angle) / angle, second = 2 * half * half;
    const real cross[9] = {0, -turn[2], turn[1], turn[2], 0, -turn[0], -turn[1], turn[0], 0};
    real squared[9], turning[9];
    matmul3(cross, cross, squared);
    for (int i = 0; i < 9; ++i) turning[i] = (i % 4 == 0) + first * cross[i] + second * squared[i];
    matmul3(turning, rotation, moved);
}

// translation, step, moved (3)
DEVICE void moved_translation(const real* translation, const real* step, const Bounds* bounds, real* moved) {
    real shift[3];
    shortened(step, bounds->shift, shift);
    for (int i = 0; i < 3; ++i) moved[i] = translation[i] + shift[i];
}

// step: of the logarithm of the scale
DEVICE real moved_scale(real scale, real step, const Bounds* bounds) {
    const real larger = exponential(within(step, -bounds->relative, bounds->relative));
    return within(scale * larger, bounds->smallest_scale, bounds->largest_scale);
}

DEVICE real moved_proportion(real proportion, real step, const Bounds* bounds) {
    const real change = within(step, -bounds->relative, bounds->relative);
    return within(proportion + change, -bounds->proportion, bounds->proportion);
}
