// A keypoint against the place where a network votes that it is: weight times the robust function of Geman and McClure of
// (distance / radius)^2, see vertex_normal_equations.h. vote: (4) its place, and 1 / radius^2, 0 where there is none
#pragma once
#include "vertex_normal_equations.h"

#define VOTE 4
#define VOTE_WIDTH 3  // radii at which a keypoint starts to count as an outlier

// Squared distance in radii; difference: (3) from the voted place to x
DEVICE real vote_error(const real* vote, const real* x, real* difference) {
    for (int c = 0; c < 3; ++c) difference[c] = x[c] - vote[c];
    return vote[3] * dot3(difference, difference);
}

DEVICE real vote_loss(const real* vote, const real* x) {
    real difference[3];
    return vote[3] > 0 ? robust(vote_error(vote, x, difference), VOTE_WIDTH) : 0;
}

// accumulates equations (9)
DEVICE void add_vote(const real* vote, const real* x, real weight, real* equations) {
    if (!(vote[3] > 0)) return;
    real difference[3];
    const real slope = weight * vote[3] * robust_slope(vote_error(vote, x, difference), VOTE_WIDTH);
    ADD(equations, slope);
    ADD(equations + 3, slope);
    ADD(equations + 5, slope);
    for (int c = 0; c < 3; ++c) ADD(equations + 6 + c, slope * difference[c]);
}
