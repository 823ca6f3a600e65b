// Forward kinematics: pose -> one rest-to-camera transform per joint, inverse bind matrix included (paper, section 2).
//
//   local joint rotation   L = R_y(side abd) R_x(-flex) R_z(side twist), in the joint's own frame
//   about the bind pose    Q = N L N^T, with N the bind rotation and c the bind position of the joint
//   along the chain        G_j = G_parent o [Q | c - Q c]
//   into the camera        M_j p = scale R (G_j p - w) + t, with w the bind position of the root joint (the wrist)
//
// angles (B, A, 3) rad: twist, abduction, flexion | rotation (B, 3, 3) | translation (B, 3) mm | scale (B)
// parents (J) int, parents before children, -1 at the root | articulated (A) int: the joint of each row of angles
// bind (J, 3, 4) mm, joint -> rig, or (B, J, 3, 4) | side +1 right, -1 left | transforms (B, J, 3, 4)
#include "kinematics.h"

#define MAX_JOINTS 64

// A derivative of a rotation about `axis` by its angle: [axis]x R.
DEVICE void rotation_derivative(int axis, const real* rotation, real* derivative) {
    const int j = (axis + 1) % 3, k = (axis + 2) % 3;
    for (int c = 0; c < 3; ++c) {
        derivative[3 * axis + c] = 0;
        derivative[3 * j + c] = -rotation[3 * k + c];
        derivative[3 * k + c] = rotation[3 * j + c];
    }
}

// chain (J, 12): rows of [G_R (9), G_t (3)], in memory of the caller; row_of (J): the joint's row of angles or -1
DEVICE void pose_chain(const real* angles, const int* parents, const int* articulated, const real* bind, int side,
                       int J, int A, signed char* row_of, real* chain) {
    for (int j = 0; j < J; ++j) row_of[j] = -1;
    for (int a = 0; a < A; ++a) row_of[articulated[a]] = (signed char)a;
    for (int j = 0; j < J; ++j) {
        real* g = chain + 12 * j;
        if (parents[j] < 0) {
            for (int k = 0; k < 12; ++k) g[k] = (k == 0 || k == 4 || k == 8) ? 1 : 0;
            continue;
        }
        const real* parent = chain + 12 * parents[j];
        if (row_of[j] < 0) {
            for (int k = 0; k < 12; ++k) g[k] = parent[k];
            continue;
        }
        real n[9], c[3];
        bind_parts(bind, j, n, c);
        chain_link(n, c, angles + 3 * row_of[j], side, parent, g);
    }
}

// overwrites transforms, which hold the chain first; bind of image b at b * bind_stride, 0 where all images share it
KERNEL(kinematics_forward)(const real* angles, const real* rotation, const real* translation, const real* scale,
                           const int* parents, const int* articulated, const real* bind, real* transforms, int side,
                           int bind_stride, int B, int J, int A) {
    FOR_EACH_IMAGE(b, B) {
        signed char row_of[MAX_JOINTS];
        const real* own_bind = bind + (long long)b * bind_stride;
        real* chain = transforms + 12 * (long long)b * J;
        pose_chain(angles + 3 * A * b, parents, articulated, own_bind, side, J, A, row_of, chain);
        const real wrist[3] = {own_bind[3], own_bind[7], own_bind[11]};
        for (int j = 0; j < J; ++j) {
            real g[12];
            for (int k = 0; k < 12; ++k) g[k] = chain[12 * j + k];
            into_camera(g, wrist, rotation + 9 * b, translation + 3 * b, scale[b], chain + 12 * j);
        }
    }
}

// grad_rotation (B, 3) is the gradient of the tangent w of exp([w]x) R at w = 0. overwrites every gradient; bind as in
// kinematics_forward. scratch (B, 2, J, 12): the chain and its gradient
KERNEL(kinematics_backward)(const real* grad_transforms, const real* angles, const real* rotation, const real* scale,
                            const int* parents, const int* articulated, const real* bind, real* scratch,
                            real* grad_angles, real* grad_rotation, real* grad_translation, real* grad_scale, int side,
                            int bind_stride, int B, int J, int A) {
    FOR_EACH_IMAGE(b, B) {
        const real* own_bind = bind + (long long)b * bind_stride;
        real *chain = scratch + 24 * (long long)b * J, *grad_chain = chain + 12 * J;
        signed char row_of[MAX_JOINTS];
        pose_chain(angles + 3 * A * b, parents, articulated, own_bind, side, J, A, row_of, chain);
        const real* r_global = rotation + 9 * b;
        real grad_linear[9] = {0}, grad_t[3] = {0};  // of R, without the scale, and of t
        for (int j = 0; j < J; ++j) {
            const real *g = chain + 12 * j, *grad_m = grad_transforms + 12 * (b * J + j);
            real grad_m_linear[9], grad_m_offset[3], centred[3], partial[9];
            linear_part(grad_m, grad_m_linear);
            for (int r = 0; r < 3; ++r) {
                grad_m_offset[r] = grad_m[4 * r + 3];
                centred[r] = g[9 + r] - own_bind[4 * r + 3];
                grad_t[r] += grad_m_offset[r];
            }
            matmul3_transposed_right(grad_m_linear, g, partial);
            add_outer3(partial, grad_m_offset, centred);
            for (int k = 0; k < 9; ++k) grad_linear[k] += partial[k];
            real* grad_g = grad_chain + 12 * j;
            matmul3_transposed_left(r_global, grad_m_linear, grad_g);
            matvec3_transposed(r_global, grad_m_offset, grad_g + 9);
            for (int k = 0; k < 12; ++k) grad_g[k] *= scale[b];
        }
        real moment[9];
        matmul3_transposed_right(grad_linear, r_global, moment);
        grad_scale[b] = inner3(grad_linear, r_global);
        grad_rotation[3 * b] = scale[b] * (moment[7] - moment[5]);
        grad_rotation[3 * b + 1] = scale[b] * (moment[2] - moment[6]);
        grad_rotation[3 * b + 2] = scale[b] * (moment[3] - moment[1]);
        for (int r = 0; r < 3; ++r) grad_translation[3 * b + r] = grad_t[r];

        for (int j = J - 1; j >= 0; --j) {
            if (parents[j] < 0) continue;
            const real *parent = chain + 12 * parents[j], *grad_g = grad_chain + 12 * j;
            real* grad_parent = grad_chain + 12 * parents[j];
            if (row_of[j] < 0) {
                for (int k = 0; k < 12; ++k) grad_parent[k] += grad_g[k];
                continue;
            }
            const int row = A * (int)b + row_of[j];
            real n[9], c[3], local[9], q[9], qc[3], offset[3];
            LocalRotation factors;
            bind_parts(own_bind, j, n, c);
            local_rotation(angles + 3 * row, side, &factors, local);
            about_bind(n, local, q);
            matvec3(q, c, qc);
            for (int r = 0; r < 3; ++r) offset[r] = c[r] - qc[r];

            real grad_p[9], grad_q[9], grad_offset[3], grad_local[9], partial[9], derivative[9], turned[9];
            matmul3_transposed_right(grad_g, q, grad_p);
            add_outer3(grad_p, grad_g + 9, offset);
            for (int k = 0; k < 9; ++k) grad_parent[k] += grad_p[k];
            for (int r = 0; r < 3; ++r) grad_parent[9 + r] += grad_g[9 + r];

            matmul3_transposed_left(parent, grad_g, grad_q);
            matvec3_transposed(parent, grad_g + 9, grad_offset);
            for (int r = 0; r < 3; ++r) grad_offset[r] = -grad_offset[r];
            add_outer3(grad_q, grad_offset, c);
            matmul3_transposed_left(n, grad_q, partial);  // of L: N^T grad_q N
            matmul3(partial, n, grad_local);

            rotation_derivative(2, factors.twist, derivative);
            matmul3(factors.abduction, factors.flexion, partial);
            matmul3(partial, derivative, turned);
            grad_angles[3 * row] = side * inner3(grad_local, turned);
            rotation_derivative(1, factors.abduction, derivative);
            matmul3(derivative, factors.flexion, partial);
            matmul3(partial, factors.twist, turned);
            grad_angles[3 * row + 1] = side * inner3(grad_local, turned);
            rotation_derivative(0, factors.flexion, derivative);
            matmul3(factors.abduction, derivative, partial);
            matmul3(partial, factors.twist, turned);
            grad_angles[3 * row + 2] = -inner3(grad_local, turned);
        }
    }
}
