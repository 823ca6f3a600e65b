// Gauss-Newton normal equations of a pose: those of a loss by vertex positions, chained to the pose's parameters.
//
//   loss(x + d) = loss(x) + 2 sum_v b_v.d_v + sum_v d_v^T A_v d_v  (vertex_normal_equations.h),  d_v = X_v p
//   hessian H = sum_v X_v^T A_v X_v,  gradient g = sum_v X_v^T b_v:  the step p solves H p = -g
//
// The columns of X_v = dx_v/dp, for x_v = sum_k w_vk M_k [P_v + sum_s beta_s B_vs, 1] (paper, Eq. 1):
//   0..2  rotation, the tangent w of exp([w]x) R:  e_c x (x_v - t)
//   3..5  translation t:                           e_c
//   6     logarithm of the scale:                  x_v - t
//   then  joint angles that may move:              a x sum_k w_vk (M_k p - c) over the joints k below the angle's,
//                                                  with a the angle's axis and c the joint's position, camera frame
//   then  S proportions:                           sum_k w_vk (M_k B_vs + U_ks), U_ks the derivative of M_k's offset
//
// Vertices, joints and proportions as in skinning.cu and kinematics.cu; A articulated joints.
#include "pose_axes.h"
#include "vertex_normal_equations.h"

#define MAX_ROWS 16
#define MAX_PARAMETERS 80  // a multiple of LANES; 7, 45 angles and 13 proportions need 65

// One articulated joint or one proportion per thread.
// transforms (B, J, 3, 4) | bind (J, 3, 4) or one for each image
// joint_basis (S, J, 3): derivative of the bind positions by each proportion
// overwrites axes (B, A, 3 angles, 3), joint_positions (B, A, 3), bind_jacobian (B, J, 3, S) = U
KERNEL(pose_axes)(const real* angles, const real* transforms, const real* scale, const int* parents,
                  const int* articulated, const real* bind, const real* joint_basis, real* axes, real* joint_positions,
                  real* bind_jacobian, int side, int bind_stride, int B, int J, int A, int S) {
    FOR_EACH_IN_IMAGE(b, B, item, A + S) {
        const real* m = transforms + 12 * (long long)b * J;
        const long long row = (long long)b * A + item;
        if (item < A) {
            const int j = articulated[item];
            joint_axes(angles + 3 * row, m, scale[b], j, parents[j], bind + (long long)b * bind_stride, side,
                       axes + 9 * row, joint_positions + 3 * row);
        } else {
            const int s = item - A;
            offset_jacobian(m, parents, joint_basis + 3 * (long long)s * J, J, S, s,
                            bind_jacobian + 3 * S * (long long)b * J);
        }
    }
}

// The pose of one image, and the sizes of the problem
struct Chain {
    const real *transforms, *axes, *joint_positions, *bind_jacobian;  // of the image
    const int* ancestry;   // (J, D): the rows of the angles that move a joint, -1 last
    const int* column_of;  // (A, 3): the column of each angle, -1 if it is held
    int K, D, A, S, P;
};

// Where a vertex is from the joints whose angles move it, each weighted by what of the vertex it moves: `count` rows of
// angles, and lever[row] = sum_k w_k (M_k p - c) over the joints k below the row's, c its position.
struct Levers {
    int count;
    signed char rows[MAX_ROWS];
    real lever[MAX_ROWS][3];
};

// p (3): the rest point; joints, weights (K)
DEVICE void set_levers(Levers* levers, const Chain* chain, const real* p, const int* joints, const real* weights) {
    bool met[MAX_ROWS] = {false};
    real share[MAX_ROWS];
    levers->count = 0;
    for (int k = 0; k < chain->K && weights[k] != 0; ++k) {
        const real* m = chain->transforms + 12 * joints[k];
        real y[3];
        for (int r = 0; r < 3; ++r) y[r] = m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3];
        for (int d = 0; d < chain->D; ++d) {
            const int row = chain->ancestry[chain->D * joints[k] + d];
            if (row < 0) break;
            real* lever = levers->lever[row];
            if (!met[row]) {
                met[row] = true;
                levers->rows[levers->count++] = (signed char)row;
                share[row] = lever[0] = lever[1] = lever[2] = 0;
            }
            share[row] += weights[k];
            for (int r = 0; r < 3; ++r) lever[r] += weights[k] * y[r];
        }
    }
    for (int at = 0; at < levers->count; ++at) {
        const int row = levers->rows[at];
        for (int r = 0; r < 3; ++r) levers->lever[row][r] -= share[row] * chain->joint_positions[3 * row + r];
    }
}

// The linear part of the blended transform of a vertex, (3, 3).
DEVICE void blend_linear(const Chain* chain, const int* joints, const real* weights, real* blended) {
    for (int k = 0; k < 9; ++k) blended[k] = 0;
    for (int k = 0; k < chain->K && weights[k] != 0; ++k) {
        const real* m = chain->transforms + 12 * joints[k];
        for (int r = 0; r < 3; ++r)
            for (int c = 0; c < 3; ++c) blended[3 * r + c] += weights[k] * m[4 * r + c];
    }
}

DEVICE bool is_used(const real* vertex_normal_equations) {
    bool used = false;
    for (int entry = 0; entry < VERTEX_NORMAL_EQUATIONS; ++entry) used = used || vertex_normal_equations[entry] != 0;
    return used;
}

DEVICE Chain chain_of(const real* transforms, const real* axes, const real* joint_positions, const real* bind_jacobian,
                      const int* ancestry, const int* columns, long long b, int J, int K, int D, int A, int S, int P) {
    const real *positions = joint_positions + 3 * b * A, *jacobian = bind_jacobian + 3 * b * J * S;
    return Chain{transforms + 12 * b * J, axes + 9 * b * A, positions, jacobian, ancestry, columns, K, D, A, S, P};
}

#if IMAGE_KERNELS
// The columns of X_v by their numbers, and which of them may differ from zero; the others are zero.
struct Columns {
    int count, number[MAX_PARAMETERS];
    real x[MAX_PARAMETERS], y[MAX_PARAMETERS], z[MAX_PARAMETERS];
};

DEVICE void set(Columns* columns, int number, real x, real y, real z) {
    columns->number[columns->count++] = number;
    columns->x[number] = x;
    columns->y[number] = y;
    columns->z[number] = z;
}

DEVICE void clear_all(Columns* columns) {
    columns->count = 0;
    for (int i = 0; i < MAX_PARAMETERS; ++i) columns->x[i] = columns->y[i] = columns->z[i] = 0;
}

DEVICE void set_rigid(Columns* columns, const real* x, const real* t) {
    const real dx = x[0] - t[0], dy = x[1] - t[1], dz = x[2] - t[2];
    set(columns, 0, 0, -dz, dy);
    set(columns, 1, dz, 0, -dx);
    set(columns, 2, -dy, dx, 0);
    set(columns, 3, 1, 0, 0);
    set(columns, 4, 0, 1, 0);
    set(columns, 5, 0, 0, 1);
    set(columns, 6, dx, dy, dz);
}

DEVICE void set_angles(Columns* columns, const Chain* chain, const Levers* levers) {
    for (int at = 0; at < levers->count; ++at) {
        const int row = levers->rows[at];
        const real* lever = levers->lever[row];
        for (int d = 0; d < 3; ++d) {
            const int column = chain->column_of[3 * row + d];
            if (column < 0) continue;
            const real* a = chain->axes + 3 * (3 * row + d);
            set(columns, column, a[1] * lever[2] - a[2] * lever[1], a[2] * lever[0] - a[0] * lever[2],
                a[0] * lever[1] - a[1] * lever[0]);
        }
    }
}

// basis: rest mm of the vertex for each proportion, `stride` apart; the proportions' columns are the last
DEVICE void set_proportions(Columns* columns, const Chain* chain, const int* joints, const real* weights,
                            const real* basis, long long stride) {
    const int S = chain->S, first = chain->P - S;
    if (S == 0) return;
    real *x = columns->x + first, *y = columns->y + first, *z = columns->z + first;
    real blended[9];
    blend_linear(chain, joints, weights, blended);
    for (int k = 0; k < chain->K && weights[k] != 0; ++k) {
        const real* jacobian = chain->bind_jacobian + 3 * S * joints[k];
        const real w = weights[k];
        for (int s = 0; s < S; ++s) {
            x[s] += w * jacobian[s];
            y[s] += w * jacobian[S + s];
            z[s] += w * jacobian[2 * S + s];
        }
    }
    for (int s = 0; s < S; ++s) {
        const real* offset = basis + s * stride;
        if (offset[0] != 0 || offset[1] != 0 || offset[2] != 0) {
            real moved[3];
            matvec3(blended, offset, moved);
            x[s] += moved[0];
            y[s] += moved[1];
            z[s] += moved[2];
        }
        if (x[s] != 0 || y[s] != 0 || z[s] != 0) columns->number[columns->count++] = first + s;
    }
}

// All columns of vertex v; they must be zero before.
DEVICE void set_columns(Columns* columns, const Chain* chain, const real* posed, const real* translation,
                        const real* rest, const int* indices, const real* weights, const real* vertex_basis, int v,
                        int V) {
    const int* joints = indices + (long long)v * chain->K;
    const real* w = weights + (long long)v * chain->K;
    set_rigid(columns, posed + 3 * v, translation);
    Levers levers;
    set_levers(&levers, chain, rest + 3 * v, joints, w);
    set_angles(columns, chain, &levers);
    set_proportions(columns, chain, joints, w, vertex_basis + 3 * v, 3 * (long long)V);
}

DEVICE void clear_used(Columns* columns) {
    for (int i = 0; i < columns->count; ++i) {
        const int number = columns->number[i];
        columns->x[number] = columns->y[number] = columns->z[number] = 0;
    }
    columns->count = 0;
}

// One image per thread, which keeps its sums in scratch (threads, MAX_PARAMETERS, MAX_PARAMETERS).
// vertex_normal_equations (B, V, 9) | posed (B, V, 3) | translation (B, 3) | rest (V, 3), or one for each image
// vertex_basis (S, V, 3) rest mm: derivative of the rest vertices by each proportion
// overwrites hessian (B, P, P), zero above the diagonal, and gradient (B, P)
KERNEL(normal_equations)(const real* vertex_normal_equations, const real* posed, const real* transforms,
                         const real* translation, const real* rest, const int* indices, const real* weights,
                         const int* ancestry, const int* columns, const real* axes, const real* joint_positions,
                         const real* vertex_basis, const real* bind_jacobian, real* scratch, real* hessian,
                         real* gradient, int rest_stride, int B, int J, int V, int K, int D, int A, int S, int P) {
    FOR_EACH_IMAGE(b, B) {
        const Chain chain =
            chain_of(transforms, axes, joint_positions, bind_jacobian, ancestry, columns, b, J, K, D, A, S, P);
        real *sums = scratch + (long long)THREAD_INDEX * MAX_PARAMETERS * MAX_PARAMETERS,
             *g = gradient + (long long)b * P;
        for (int i = 0; i < P * MAX_PARAMETERS; ++i) sums[i] = 0;
        for (int i = 0; i < P; ++i) g[i] = 0;
        Columns X;
        clear_all(&X);
        for (int v = 0; v < V; ++v) {
            const real* q = vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * ((long long)b * V + v);
            if (!is_used(q)) continue;
            set_columns(&X, &chain, posed + 3 * (long long)b * V, translation + 3 * b,
                        rest + (long long)b * rest_stride, indices, weights, vertex_basis, v, V);
            for (int i = 0; i < X.count; ++i) {
                const int number = X.number[i];
                const real column[3] = {X.x[number], X.y[number], X.z[number]};
                real a[3], *row = sums + number * MAX_PARAMETERS;
                apply_hessian(q, column, a);
                for (int first = 0; first <= number; first += LANES)  // up to LANES - 1 beyond the diagonal
                    for (int j = first; j < first + LANES; ++j) row[j] += a[0] * X.x[j] + a[1] * X.y[j] + a[2] * X.z[j];
                g[number] += dot3(q + 6, column);
            }
            clear_used(&X);
        }
        real* h = hessian + (long long)b * P * P;
        for (int i = 0; i < P; ++i)
            for (int j = 0; j < P; ++j) h[i * P + j] = j <= i ? sums[i * MAX_PARAMETERS + j] : 0;
    }
}
#endif

// What the columns of one vertex follow from. A thread of a GPU has them calculated where they are needed, because all of
// them at once would fill more than a kilobyte of its own memory.
struct VertexColumns {
    Levers levers;
    real centred[3];   // x_v - t
    real blended[9];   // linear part of the blended transform
    const int* joints;
    const real *weights, *basis;
    long long basis_stride;
};

// The column of an entry, and its number: entries 0..6 are rigid, then three for each row of angles, then proportions.
// -1 where the entry is none or the column zero.
DEVICE int column_of_entry(const VertexColumns* vertex, const Chain* chain, int entry, real* column) {
    const real* x = vertex->centred;
    if (entry < RIGID) {
        for (int r = 0; r < 3; ++r) column[r] = entry == 6 ? x[r] : entry - 3 == r ? (real)1 : (real)0;
        if (entry < 3) {
            const int next = (entry + 1) % 3, last = (entry + 2) % 3;
            column[next] = -x[last];
            column[last] = x[next];
        }
        return entry;
    }
    const int angle = entry - RIGID, angles = 3 * vertex->levers.count;
    if (angle < angles) {
        const int row = vertex->levers.rows[angle / 3], number = chain->column_of[3 * row + angle % 3];
        if (number < 0) return -1;
        const real *a = chain->axes + 3 * (3 * row + angle % 3), *lever = vertex->levers.lever[row];
        for (int r = 0; r < 3; ++r) {
            const int next = (r + 1) % 3, last = (r + 2) % 3;
            column[r] = a[next] * lever[last] - a[last] * lever[next];
        }
        return number;
    }
    const int S = chain->S, s = angle - angles;
    matvec3(vertex->blended, vertex->basis + s * vertex->basis_stride, column);
    for (int k = 0; k < chain->K && vertex->weights[k] != 0; ++k) {
        const real* jacobian = chain->bind_jacobian + 3 * S * vertex->joints[k];
        for (int r = 0; r < 3; ++r) column[r] += vertex->weights[k] * jacobian[S * r + s];
    }
    return column[0] != 0 || column[1] != 0 || column[2] != 0 ? chain->P - S + s : -1;
}

// The same with vertices in parallel; accumulates hessian's lower triangle and gradient
KERNEL(normal_equations_grid)(const real* vertex_normal_equations, const real* posed, const real* transforms,
                              const real* translation, const real* rest, const int* indices, const real* weights,
                              const int* ancestry, const int* columns, const real* axes, const real* joint_positions,
                              const real* vertex_basis, const real* bind_jacobian, real* hessian, real* gradient,
                              int rest_stride, int B, int J, int V, int K, int D, int A, int S, int P) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const real* q = vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * ((long long)b * V + v);
        if (!is_used(q)) continue;
        const Chain chain =
            chain_of(transforms, axes, joint_positions, bind_jacobian, ancestry, columns, b, J, K, D, A, S, P);
        VertexColumns vertex;
        vertex.joints = indices + (long long)v * K;
        vertex.weights = weights + (long long)v * K;
        vertex.basis = vertex_basis + 3 * v;
        vertex.basis_stride = 3 * (long long)V;
        set_levers(&vertex.levers, &chain, rest + (long long)b * rest_stride + 3 * v, vertex.joints, vertex.weights);
        for (int r = 0; r < 3; ++r)
            vertex.centred[r] = posed[3 * ((long long)b * V + v) + r] - translation[3 * b + r];
        blend_linear(&chain, vertex.joints, vertex.weights, vertex.blended);
        real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        const int entries = RIGID + 3 * vertex.levers.count + S;
        for (int i = 0; i < entries; ++i) {
            real column[3], a[3];
            const int number = column_of_entry(&vertex, &chain, i, column);
            if (number < 0) continue;
            apply_hessian(q, column, a);
            for (int k = 0; k < entries; ++k) {
                real other[3];
                const int j = column_of_entry(&vertex, &chain, k, other);
                if (j >= 0 && j <= number) ADD(h + number * P + j, dot3(a, other));
            }
            ADD(g + number, dot3(q + 6, column));
        }
    }
}
