// How a posed hand moves with its angles and proportions; normal_equations.cu has the equations.
#pragma once
#include "linear.h"

#define RIGID 7  // rotation, translation, logarithm of the scale

// An angle's axis in the camera frame: the joint's own axis before the rotations that are applied before it.
//   L = R_y(side abd) R_x(-flex) R_z(side twist):  abduction side y, flexion -R_y x, twist side R_y R_x z
// m (J, 3, 4): the transforms of an image; bind (J, 3, 4)
// overwrites axes (3 angles, 3) and position (3) of the articulated joint j
DEVICE void joint_axes(const real* angle, const real* m, real scale, int j, int parent, const real* bind, int side,
                       real* axes, real* position) {
    const real cy = cos(side * angle[1]), sy = sin(side * angle[1]), cx = cos(-angle[2]), sx = sin(-angle[2]);
    const real local[3][3] = {{side * sy * cx, -side * sx, side * cy * cx}, {0, (real)side, 0}, {-cy, 0, sy}};
    real above[9], rest[9], frame[9];
    linear_part(m + 12 * parent, above);
    linear_part(bind + 12 * j, rest);
    matmul3(above, rest, frame);
    for (int r = 0; r < 3; ++r) {
        position[r] = m[12 * j + 4 * r + 3];
        for (int c = 0; c < 3; ++c) position[r] += m[12 * j + 4 * r + c] * bind[12 * j + 4 * c + 3];
    }
    for (int d = 0; d < 3; ++d) {
        matvec3(frame, local[d], axes + 3 * d);
        for (int c = 0; c < 3; ++c) axes[3 * d + c] /= scale;
    }
}

// Along the chain U_j = U_parent + (M_parent - M_j) C_j. At the root M p = scale R (p - wrist) + t, where a proportion
// moves the wrist.
// m (J, 3, 4) | joint_basis (J, 3) of the proportion s | overwrites column s of jacobian (J, 3, S)
DEVICE void offset_jacobian(const real* m, const int* parents, const real* joint_basis, int J, int S, int s,
                            real* jacobian) {
    for (int j = 0; j < J; ++j) {
        const int parent = parents[j], moved = parent < 0 ? 0 : j;
        const real *own = m + 12 * moved, *offset = joint_basis + 3 * moved;
        for (int r = 0; r < 3; ++r) {
            real sum = parent < 0 ? 0 : jacobian[S * (3 * parent + r) + s];
            for (int c = 0; c < 3; ++c)
                sum += ((parent < 0 ? 0 : m[12 * parent + 4 * r + c]) - own[4 * r + c]) * offset[c];
            jacobian[S * (3 * j + r) + s] = sum;
        }
    }
}
