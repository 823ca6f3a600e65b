// A step of Levenberg-Marquardt: (H + damping diag(H)) step = -gradient, by Cholesky decomposition H = L L^T.
//
// A CPU has each image solved by one thread. That would keep a GPU waiting: P^3 / 6 operations one after the other, and
// a thread for each of a few dozen images. There, a thread has one row of an image and one panel of SIDE columns at a
// time, in two launches a panel: the rows of the panel are solved, then what is left is updated. The launches need no
// barriers, as no thread waits for another one of the same launch.
//
// The rows of the GPU's table (Q + 1, Q), Q the multiple of SIDE from P on: H with damping below the diagonal, which
// becomes L; above and on it the rows of Z = L^-T, which begin as those of the identity; last -gradient, which becomes
// y = L^-1 (-gradient). Then step = Z y. All of these are one operation on rows: r becomes r L^-T.
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

// A thread for each entry of the table: H with damping, where nothing moves and from P on the identity, last -gradient.
// hessian (B, P, P), its lower triangle | damping (B) | free (P) | overwrites left (B, Q + 1, Q)
KERNEL(damped_table)(const real* hessian, const real* gradient, const real* damping, const real* free, real* left, int B,
                     int P, int Q) {
    FOR_EACH_IN_IMAGE(b, B, item, (Q + 1) * Q) {
        const int i = item / Q, j = item % Q;
        const real *h = hessian + (long long)b * P * P, *g = gradient + (long long)b * P;
        const bool moves_j = j < P && moves(h, free, j, P);
        real value = i == j ? 1 : 0;
        if (i == Q)
            value = moves_j ? -g[j] : 0;
        else if (i == j && moves_j)
            value = h[i * P + i] * (1 + damping[b]);
        else if (j < i && i < P && moves_j && moves(h, free, i, P))
            value = h[i * P + j];
        left[(long long)b * (Q + 1) * Q + item] = value;
    }
}

// triangle (SIDE, SIDE), its lower half: L of the rows of the panel that begins at `first`. Where H is not positive
// definite, its diagonal has NaN or 0, and nothing that follows from it is finite.
DEVICE void factor_triangle(const real* left, int first, int Q, real* triangle) {
    UNROLL for (int i = 0; i < SIDE; ++i) {
        UNROLL for (int j = 0; j <= i; ++j) {
            real sum = left[(first + i) * Q + first + j];
            UNROLL for (int k = 0; k < j; ++k) sum -= triangle[i * SIDE + k] * triangle[j * SIDE + k];
            triangle[i * SIDE + j] = i == j ? sqrt(sum) : sum / triangle[j * SIDE + j];
        }
    }
}

// Row i of the panel, (SIDE), becomes itself times L^-T. The panel's own rows are those of the identity.
DEVICE void solve_row(const real* left, int first, int Q, const real* triangle, int i, real* row) {
    const bool own = i >= first && i < first + SIDE;
    UNROLL for (int j = 0; j < SIDE; ++j) {
        real sum = left[i * Q + first + j];
        if (own) sum = i == first + j ? 1 : 0;
        UNROLL for (int k = 0; k < j; ++k) sum -= row[k] * triangle[j * SIDE + k];
        row[j] = sum / triangle[j * SIDE + j];
    }
}

// The columns first .. first + SIDE of each row; after those of the last panel the step.
// left (B, Q + 1, Q) | overwrites these columns of factor (B, Q + 1, Q), or step (B, P): 0 where it is no finite number
KERNEL(solve_panel)(const real* left, real* factor, real* step, int first, int B, int P, int Q) {
    FOR_EACH_IN_IMAGE(b, B, i, Q + 1) {
        const long long place = (long long)b * (Q + 1) * Q;
        const bool last = first + SIDE == Q;
        if (last && i >= P) continue;
        real triangle[SIDE * SIDE], row[SIDE];
        factor_triangle(left + place, first, Q, triangle);
        solve_row(left + place, first, Q, triangle, i, row);
        real* own = factor + place + i * Q;
        if (!last) {
            UNROLL for (int k = 0; k < SIDE; ++k) own[first + k] = row[k];
            continue;
        }
        const real* y = factor + place + Q * Q;
        real end[SIDE], sum = 0;
        solve_row(left + place, first, Q, triangle, Q, end);
        for (int k = i / SIDE * SIDE; k < first; ++k) sum += own[k] * y[k];
        UNROLL for (int k = 0; k < SIDE; ++k) sum += row[k] * end[k];
        step[(long long)b * P + i] = sum - sum == 0 ? sum : 0;
    }
}

// What is left of the columns behind a panel, a thread for each entry. Above the diagonal, entries are those of Z from
// their row's own panel on, and 0 before.
// factor (B, Q + 1, Q), its columns first .. first + SIDE | updates left (B, Q + 1, Q)
KERNEL(solve_rest)(const real* factor, real* left, int first, int B, int Q) {
    const int next = first + SIDE;
    FOR_EACH_IN_IMAGE(b, B, item, (Q + 1) * (Q - next)) {
        const int i = item / (Q - next), j = next + item % (Q - next);
        if (i >= next && i < j) continue;
        const real* of_image = factor + (long long)b * (Q + 1) * Q + first;
        real sum = 0;
        UNROLL for (int k = 0; k < SIDE; ++k) sum += of_image[i * Q + k] * of_image[j * Q + k];
        left[(long long)b * (Q + 1) * Q + i * Q + j] -= sum;
    }
}
