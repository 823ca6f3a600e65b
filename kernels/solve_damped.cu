// A step of Levenberg-Marquardt: (H + damping diag(H)) step = -gradient, by Cholesky decomposition H = L L^T.
//
// A CPU has each image solved by one thread. That would keep a GPU waiting: P^3 / 6 operations one after the other, and
// a thread for each of a few dozen images. There, a thread has one row of an image and one panel of SIDE columns at a
// time, in one launch a panel. It subtracts what the columns before the panel contribute from its own row and from the
// panel's triangle, which every thread of an image factors for itself: a launch more would cost more. The launches need
// no barriers, as no thread waits for another one of the same launch.
//
// The rows of the GPU's table (Q + 1, Q), Q the multiple of SIDE from P on: below the diagonal L, in the panels before
// the row's own; from the row's own panel on the rows of Z = L^-T; last y = L^-1 (-gradient). Then step = Z y. All of
// these are one operation on rows: r becomes r L^-T, with r a row of H with damping, of the identity, or -gradient.
#include "target.h"

#define SIDE 16  // its triangle fits into the registers of a thread

// A parameter without curvature stays where it is: no residual depends on it.
DEVICE bool moves(const real* hessian, const real* free, int i, int P) {
    return free[i] > 0 && hessian[i * P + i] != 0;
}

#if IMAGE_KERNELS
// (H + damping diag(H)) step = -gradient by Cholesky decomposition; parameters with free = 0 stay where they are.
// hessian (B, P, P), its lower triangle | damping (B) | free (P)
// overwrites factor (B, P, P) and step (B, P); step is 0 where H is not positive definite
KERNEL(solve_damped)(const real* hessian, const real* gradient, const real* damping, const real* free, real* factor,
                     real* step, int B, int P) {
    FOR_EACH_IMAGE(b, B) {
        const real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        real *l = factor + (long long)b * P * P, *x = step + (long long)b * P;
        bool definite = true;
        for (int i = 0; i < P; ++i) {
            const bool moves_i = moves(h, free, i, P);
            for (int j = 0; j <= i; ++j) {
                real sum = moves_i && moves(h, free, j, P) ? h[i * P + j] : 0;
                if (i == j) sum = moves_i ? sum * (1 + damping[b]) : 1;
                for (int k = 0; k < j; ++k) sum -= l[i * P + k] * l[j * P + k];
                if (i == j && !(sum > 0)) {
                    definite = false;
                    sum = 1;
                }
                l[i * P + j] = i == j ? sqrt(sum) : sum / l[j * P + j];
            }
            real sum = moves_i ? -g[i] : 0;
            for (int k = 0; k < i; ++k) sum -= l[i * P + k] * x[k];
            x[i] = sum / l[i * P + i];
        }
        for (int i = P - 1; i >= 0; --i) {
            real sum = x[i];
            for (int k = i + 1; k < P; ++k) sum -= l[k * P + i] * x[k];
            x[i] = sum / l[i * P + i];
        }
        for (int i = 0; i < P; ++i) definite = definite && x[i] - x[i] == 0;
        for (int i = 0; i < P; ++i)
            if (!definite) x[i] = 0;
    }
}
#endif

// H with damping, where nothing moves and from P on the identity, and last -gradient
struct Damped {
    const real *hessian, *gradient, *free;
    real damping;
    int P, Q;
};

// Entry j of row i, 0 above the diagonal
DEVICE real damped_entry(const Damped* d, int i, int j) {
    const int P = d->P;
    const bool moves_j = j < P && moves(d->hessian, d->free, j, P);
    if (i == d->Q) return moves_j ? -d->gradient[j] : 0;
    if (i == j) return moves_j ? d->hessian[i * P + i] * (1 + d->damping) : 1;
    return j < i && i < P && moves_j && moves(d->hessian, d->free, i, P) ? d->hessian[i * P + j] : 0;
}

// What the columns before a panel leave of its triangle (SIDE, SIDE), its lower half
DEVICE void reduce_triangle(const Damped* d, const real* factor, int first, real* triangle) {
    UNROLL for (int i = 0; i < SIDE; ++i) {
        UNROLL for (int j = 0; j <= i; ++j) triangle[i * SIDE + j] = damped_entry(d, first + i, first + j);
    }
    for (int k = 0; k < first; ++k) {
        real column[SIDE];
        UNROLL for (int i = 0; i < SIDE; ++i) column[i] = factor[(first + i) * d->Q + k];
        UNROLL for (int i = 0; i < SIDE; ++i) {
            UNROLL for (int j = 0; j <= i; ++j) triangle[i * SIDE + j] -= column[i] * column[j];
        }
    }
}

// What they leave of row i in the panel, (SIDE). A row above it has only those from its own panel on, and one of the
// panel's own is that of the identity.
DEVICE void reduce_row(const Damped* d, const real* factor, int first, int i, real* row) {
    const bool own = i >= first && i < first + SIDE;
    UNROLL for (int j = 0; j < SIDE; ++j) row[j] = !own ? damped_entry(d, i, first + j) : i == first + j ? 1 : 0;
    for (int k = own ? first : i < first ? i / SIDE * SIDE : 0; k < first; ++k) {
        const real before = factor[i * d->Q + k];
        UNROLL for (int j = 0; j < SIDE; ++j) row[j] -= before * factor[(first + j) * d->Q + k];
    }
}

// triangle (SIDE, SIDE), its lower half, becomes L. Where H is not positive definite, its diagonal has NaN or 0, and
// nothing that follows from it is finite.
DEVICE void factor_triangle(real* triangle) {
    UNROLL for (int i = 0; i < SIDE; ++i) {
        UNROLL for (int j = 0; j <= i; ++j) {
            real sum = triangle[i * SIDE + j];
            UNROLL for (int k = 0; k < j; ++k) sum -= triangle[i * SIDE + k] * triangle[j * SIDE + k];
            triangle[i * SIDE + j] = i == j ? sqrt(sum) : sum / triangle[j * SIDE + j];
        }
    }
}

// row (SIDE) becomes itself times L^-T
DEVICE void solve_row(const real* triangle, real* row) {
    UNROLL for (int j = 0; j < SIDE; ++j) {
        real sum = row[j];
        UNROLL for (int k = 0; k < j; ++k) sum -= row[k] * triangle[j * SIDE + k];
        row[j] = sum / triangle[j * SIDE + j];
    }
}

// The columns first .. first + SIDE of each row; after those of the last panel the step.
// hessian (B, P, P), its lower triangle | damping (B) | free (P)
// factor (B, Q + 1, Q): its columns before `first` are read | overwrites its columns first .. first + SIDE, or step (B, P):
// 0 where it is no finite number
KERNEL(solve_panel)(const real* hessian, const real* gradient, const real* damping, const real* free, real* factor,
                    real* step, int first, int B, int P, int Q) {
    FOR_EACH_IN_IMAGE(b, B, i, Q + 1) {
        const long long image = b;
        real* table = factor + image * (Q + 1) * Q;
        const bool last = first + SIDE == Q;
        if (last && i >= P) continue;
        const Damped damped = {hessian + image * P * P, gradient + image * P, free, damping[b], P, Q};
        real triangle[SIDE * SIDE], row[SIDE];
        reduce_triangle(&damped, table, first, triangle);
        factor_triangle(triangle);
        reduce_row(&damped, table, first, i, row);
        solve_row(triangle, row);
        real* own = table + i * Q;
        if (!last) {
            UNROLL for (int k = 0; k < SIDE; ++k) own[first + k] = row[k];
            continue;
        }
        real end[SIDE], sum = 0;
        reduce_row(&damped, table, first, Q, end);
        solve_row(triangle, end);
        const real* y = table + Q * Q;
        for (int k = i / SIDE * SIDE; k < first; ++k) sum += own[k] * y[k];
        UNROLL for (int k = 0; k < SIDE; ++k) sum += row[k] * end[k];
        step[image * P + i] = sum - sum == 0 ? sum : 0;
    }
}
