// Gauss-Newton's normal equations of a pose: quadratic models of a loss by vertex positions, chained to the pose's parameters.
//
//   loss(x + d) = loss(x) + 2 sum_v b_v.d_v + sum_v d_v^T A_v d_v  (quadratic.h),  d_v = X_v p
//   hessian H = sum_v X_v^T A_v X_v,  gradient g = sum_v X_v^T b_v:  the step p solves H p = -g
//
// The columns of X_v = dx_v/dp, for x_v = sum_k w_vk M_k [P_v + sum_s beta_s B_vs, 1] (paper, Eq. 1):
//   0..2  rotation, the tangent w of exp([w]x) R:  e_c x (x_v - t)
//   3..5  translation t:                           e_c
//   6     logarithm of the scale:                  x_v - t
//   then  joint angles that may move:              a x sum_k w_vk (M_k p - c) over the joints k below the angle's joint,
//                                                  with a the angle's axis and c the joint's position in the camera frame
//   then  S proportions:                           sum_k w_vk (M_k B_vs + U_ks), where U_ks is how M_k's offset moves
//
// Vertices, joints and proportions as in skinning.cu and kinematics.cu; A articulated joints.
#include "quadratic.h"

#define RIGID 7
#define MAX_ROWS 16
#define MAX_PARAMETERS 64

// An angle's axis in the camera frame: the joint's own axis before the rotations that are applied before it.
//   L = R_y(side abd) R_x(-flex) R_z(side twist):  abduction side y, flexion -R_y x, twist side R_y R_x z
// transforms (B, J, 3, 4) | bind (J, 3, 4) or one for each image | joint_basis (S, J, 3): how each proportion moves the bind positions
// overwrites axes (B, A, 3 angles, 3), pivots (B, A, 3), shifts (B, J, S, 3) = U
KERNEL(pose_axes)(const real* angles, const real* transforms, const real* scale, const int* parents, const int* articulated, const real* bind,
                  const real* joint_basis, real* axes, real* pivots, real* shifts, int side, int bind_stride, int B, int J, int A, int S) {
    FOR_EACH_IMAGE(b, B) {
        const real* own_bind = bind + (long long)b * bind_stride;
        const real* m = transforms + 12 * (long long)b * J;
        for (int a = 0; a < A; ++a) {
            const int j = articulated[a];
            const real* angle = angles + 3 * ((long long)b * A + a);
            const real cy = cos(side * angle[1]), sy = sin(side * angle[1]), cx = cos(-angle[2]), sx = sin(-angle[2]);
            const real local[3][3] = {{side * sy * cx, -side * sx, side * cy * cx}, {0, (real)side, 0}, {-cy, 0, sy}};
            real above[9], rest[9], frame[9];
            linear_part(m + 12 * parents[j], above);
            linear_part(own_bind + 12 * j, rest);
            matmul3(above, rest, frame);
            real* pivot = pivots + 3 * ((long long)b * A + a);
            for (int r = 0; r < 3; ++r) {
                pivot[r] = m[12 * j + 4 * r + 3];
                for (int c = 0; c < 3; ++c) pivot[r] += m[12 * j + 4 * r + c] * own_bind[12 * j + 4 * c + 3];
            }
            for (int d = 0; d < 3; ++d) {
                real* axis = axes + 3 * (3 * ((long long)b * A + a) + d);
                matvec3(frame, local[d], axis);
                for (int c = 0; c < 3; ++c) axis[c] /= scale[b];
            }
        }
        for (int j = 0; j < J; ++j) {
            const int parent = parents[j];
            for (int s = 0; s < S; ++s) {
                real* shift = shifts + 3 * (((long long)b * J + j) * S + s);
                if (parent < 0) {
                    for (int c = 0; c < 3; ++c) shift[c] = 0;
                    continue;
                }
                const real *up = shifts + 3 * (((long long)b * J + parent) * S + s), *moved = joint_basis + 3 * ((long long)s * J + j);
                for (int r = 0; r < 3; ++r) {
                    shift[r] = up[r];
                    for (int c = 0; c < 3; ++c) shift[r] += (m[12 * parent + 4 * r + c] - m[12 * j + 4 * r + c]) * moved[c];
                }
            }
        }
    }
}

// The columns of X_v that are not zero: their numbers, which rise, and x, y, z of each.
struct Columns {
    int count, number[MAX_PARAMETERS];
    real x[MAX_PARAMETERS], y[MAX_PARAMETERS], z[MAX_PARAMETERS];
};

DEVICE void push(Columns* columns, int number, real x, real y, real z) {
    int at = columns->count++;
    for (; at > 0 && columns->number[at - 1] > number; --at) {
        columns->number[at] = columns->number[at - 1];
        columns->x[at] = columns->x[at - 1];
        columns->y[at] = columns->y[at - 1];
        columns->z[at] = columns->z[at - 1];
    }
    columns->number[at] = number;
    columns->x[at] = x;
    columns->y[at] = y;
    columns->z[at] = z;
}

DEVICE void push_rigid(Columns* columns, const real* x, const real* t) {
    const real dx = x[0] - t[0], dy = x[1] - t[1], dz = x[2] - t[2];
    push(columns, 0, 0, -dz, dy);
    push(columns, 1, dz, 0, -dx);
    push(columns, 2, -dy, dx, 0);
    push(columns, 3, 1, 0, 0);
    push(columns, 4, 0, 1, 0);
    push(columns, 5, 0, 0, 1);
    push(columns, 6, dx, dy, dz);
}

// transforms, axes, pivots of the image; p (3) the rest point; joints, weights (K); ancestry (J, D): rows of the angles that move a joint, -1
// last; column_of (A, 3): the column of each angle or -1
DEVICE void push_angles(Columns* columns, const real* transforms, const real* p, const int* joints, const real* weights, const int* ancestry,
                        const int* column_of, const real* axes, const real* pivots, int K, int D) {
    int rows[MAX_ROWS], count = 0;
    real share[MAX_ROWS], sum[MAX_ROWS][3];
    for (int k = 0; k < K && weights[k] != 0; ++k) {
        const real* m = transforms + 12 * joints[k];
        real y[3];
        for (int r = 0; r < 3; ++r) y[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
        for (int d = 0; d < D && ancestry[D * joints[k] + d] >= 0; ++d) {
            const int row = ancestry[D * joints[k] + d];
            int at = 0;
            while (at < count && rows[at] != row) ++at;
            if (at == count) {
                if (count == MAX_ROWS) continue;
                rows[count++] = row;
                share[at] = sum[at][0] = sum[at][1] = sum[at][2] = 0;
            }
            share[at] += weights[k];
            for (int r = 0; r < 3; ++r) sum[at][r] += weights[k] * y[r];
        }
    }
    for (int at = 0; at < count; ++at) {
        const real* pivot = pivots + 3 * rows[at];
        const real dx = sum[at][0] - share[at] * pivot[0], dy = sum[at][1] - share[at] * pivot[1], dz = sum[at][2] - share[at] * pivot[2];
        for (int d = 0; d < 3; ++d) {
            const int column = column_of[3 * rows[at] + d];
            if (column < 0) continue;
            const real* a = axes + 3 * (3 * rows[at] + d);
            push(columns, column, a[1] * dz - a[2] * dy, a[2] * dx - a[0] * dz, a[0] * dy - a[1] * dx);
        }
    }
}

// vertex_basis (V, S, 3) rest mm; the proportions' columns start at `first`
DEVICE void push_proportions(Columns* columns, const real* transforms, const int* joints, const real* weights, const real* basis,
                             const real* shifts, int first, int K, int S) {
    for (int s = 0; s < S; ++s) {
        const real* offset = basis + 3 * s;
        real moved[3] = {0};
        for (int k = 0; k < K && weights[k] != 0; ++k) {
            const real *m = transforms + 12 * joints[k], *shift = shifts + 3 * ((long long)joints[k] * S + s);
            for (int r = 0; r < 3; ++r)
                moved[r] += weights[k] * (m[4 * r] * offset[0] + m[4 * r + 1] * offset[1] + m[4 * r + 2] * offset[2] + shift[r]);
        }
        if (moved[0] != 0 || moved[1] != 0 || moved[2] != 0) push(columns, first + s, moved[0], moved[1], moved[2]);
    }
}

// quadratic (B, V, 9) | posed (B, V, 3) | translation (B, 3) | rest (V, 3), or one for each image
// accumulates hessian (B, P, P), the lower triangle, and gradient (B, P)
KERNEL(normal_equations)(const real* quadratic, const real* posed, const real* transforms, const real* translation, const real* rest,
                         const int* indices, const real* weights, const int* ancestry, const int* columns, const real* axes, const real* pivots,
                         const real* vertex_basis, const real* shifts, real* hessian, real* gradient, int rest_stride, int B, int J, int V,
                         int K, int D, int A, int S, int P) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const real* q = quadratic + QUADRATIC * ((long long)b * V + v);
        bool used = false;
        for (int entry = 0; entry < QUADRATIC; ++entry) used = used || q[entry] != 0;
        if (!used) continue;
        const real* m = transforms + 12 * (long long)b * J;
        const int* joints = indices + (long long)v * K;
        const real* w = weights + (long long)v * K;
        Columns X;
        X.count = 0;
        push_rigid(&X, posed + 3 * ((long long)b * V + v), translation + 3 * b);
        push_angles(&X, m, rest + (long long)b * rest_stride + 3 * v, joints, w, ancestry, columns, axes + 9 * (long long)b * A,
                    pivots + 3 * (long long)b * A, K, D);
        push_proportions(&X, m, joints, w, vertex_basis + 3 * (long long)v * S, shifts + 3 * (long long)b * J * S, P - S, K, S);
        real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        for (int i = 0; i < X.count; ++i) {
            const real column[3] = {X.x[i], X.y[i], X.z[i]};
            real a[3], row[MAX_PARAMETERS];
            apply_quadratic(q, column, a);
            for (int j = 0; j <= i; ++j) row[j] = a[0] * X.x[j] + a[1] * X.y[j] + a[2] * X.z[j];
            for (int j = 0; j <= i; ++j) ADD(h + X.number[i] * P + X.number[j], row[j]);
            ADD(g + X.number[i], dot3(q + 6, column));
        }
    }
}

// (H + damping diag(H)) step = -gradient by Cholesky's decomposition; parameters with free = 0 stay where they are.
// hessian (B, P, P), its lower triangle | damping (B) | free (P) | overwrites factor (B, P, P) and step (B, P); step is 0 where H is not
// positive definite
KERNEL(solve_damped)(const real* hessian, const real* gradient, const real* damping, const real* free, real* factor, real* step, int B, int P) {
    FOR_EACH_IMAGE(b, B) {
        const real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        real *l = factor + (long long)b * P * P, *x = step + (long long)b * P;
        bool definite = true;
        for (int i = 0; i < P; ++i)
            for (int j = 0; j <= i; ++j) {
                real sum = free[i] * free[j] * h[i * P + j];
                if (i == j) sum = free[i] > 0 ? sum * (1 + damping[b]) : 1;
                for (int k = 0; k < j; ++k) sum -= l[i * P + k] * l[j * P + k];
                if (i == j && !(sum > 0)) {
                    definite = false;
                    sum = 1;
                }
                l[i * P + j] = i == j ? sqrt(sum) : sum / l[j * P + j];
            }
        for (int i = 0; i < P; ++i) {
            real sum = -free[i] * g[i];
            for (int k = 0; k < i; ++k) sum -= l[i * P + k] * x[k];
            x[i] = sum / l[i * P + i];
        }
        for (int i = P - 1; i >= 0; --i) {
            real sum = x[i];
            for (int k = i + 1; k < P; ++k) sum -= l[k * P + i] * x[k];
            x[i] = sum / l[i * P + i];
        }
        for (int i = 0; i < P; ++i)
            if (!definite || !(x[i] - x[i] == 0)) x[i] = 0;
    }
}
