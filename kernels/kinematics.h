// The parts of forward kinematics; kinematics.cu has the equations.
#pragma once
#include "linear.h"

struct LocalRotation {
    real twist[9], abduction[9], flexion[9];  // the three factors of L
};

DEVICE void rotation_x(real angle, real* m) {
    const real c = cos(angle), s = sin(angle);
    const real values[9] = {1, 0, 0, 0, c, -s, 0, s, c};
    for (int k = 0; k < 9; ++k) m[k] = values[k];
}

DEVICE void rotation_y(real angle, real* m) {
    const real c = cos(angle), s = sin(angle);
    const real values[9] = {c, 0, s, 0, 1, 0, -s, 0, c};
    for (int k = 0; k < 9; ++k) m[k] = values[k];
}

DEVICE void rotation_z(real angle, real* m) {
    const real c = cos(angle), s = sin(angle);
    const real values[9] = {c, -s, 0, s, c, 0, 0, 0, 1};
    for (int k = 0; k < 9; ++k) m[k] = values[k];
}

DEVICE void local_rotation(const real* angles, int side, LocalRotation* factors, real* local) {
    rotation_z(side * angles[0], factors->twist);
    rotation_y(side * angles[1], factors->abduction);
    rotation_x(-angles[2], factors->flexion);
    real partial[9];
    matmul3(factors->abduction, factors->flexion, partial);
    matmul3(partial, factors->twist, local);
}

// Q = N L N^T
DEVICE void about_bind(const real* bind_rotation, const real* local, real* q) {
    real partial[9];
    matmul3(bind_rotation, local, partial);
    matmul3_transposed_right(partial, bind_rotation, q);
}

DEVICE void bind_parts(const real* bind, int joint, real* rotation, real* position) {
    linear_part(bind + 12 * joint, rotation);
    for (int r = 0; r < 3; ++r) position[r] = bind[12 * joint + 4 * r + 3];
}

// One joint of the chain: G = G_parent o [Q | c - Q c], rows of [G_R (9), G_t (3)]
// n (9), c (3): the joint's bind rotation and position | angles (3) | parent, g (12)
DEVICE void chain_link(const real* n, const real* c, const real* angles, int side, const real* parent, real* g) {
    real local[9], q[9], qc[3], offset[3], moved[3];
    LocalRotation factors;
    local_rotation(angles, side, &factors, local);
    about_bind(n, local, q);
    matmul3(parent, q, g);
    matvec3(q, c, qc);
    for (int r = 0; r < 3; ++r) offset[r] = c[r] - qc[r];
    matvec3(parent, offset, moved);
    for (int r = 0; r < 3; ++r) g[9 + r] = moved[r] + parent[9 + r];
}

// m (3, 4): M p = scale R (G p - wrist) + t. rotation (9) | translation (3)
DEVICE void into_camera(const real* g, const real* wrist, const real* rotation, const real* translation, real scale,
                        real* m) {
    real linear[9], centred[3], moved[3];
    matmul3(rotation, g, linear);
    for (int r = 0; r < 3; ++r) centred[r] = g[9 + r] - wrist[r];
    matvec3(rotation, centred, moved);
    for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) m[4 * r + c] = scale * linear[3 * r + c];
        m[4 * r + 3] = scale * moved[r] + translation[r];
    }
}
