// Free-space loss, from the model to the image: vertices must not lie where the image shows that there is no hand.
// Robust (Geman-McClure).
//
//   outside:   d_v = distance of the projected vertex to the pixels where the hand may be, bilinear (field.h), mm
//   in front:  g_v = max(0, F - margin - z_v): how far the vertex lies in front of the depths around its pixel, mm
//   L_b = 1/V sum_v rho(d_v^2) + front rho(g_v^2),  rho(e) = sigma^2 e / (sigma^2 + e), in mm^2
//
// posed (B, V, 3) camera frame, mm | index (B) int: the crop of each image
// coefficients (I, 6) of each crop: column ax X/Z + bx, row ay Y/Z + by | field (I, S, S) mm | mm_per_px (I)
// nearest_depth (I, S, S) mm: F, the smallest depth measured around a pixel, 0 where there is none to compare with
// Vertices that are not in front of the camera do not count.
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

// accumulates loss (B)
KERNEL(free_space_forward)(const real* posed, const int* index, const real* coefficients, const real* field,
                           const real* nearest_depth, const real* mm_per_px, real* loss, real sigma, real front,
                           real margin, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const long long image = index[b], at = image * S * S;
        Place place;
        if (!make_place(posed + 3 * ((long long)b * V + v), coefficients + 6 * image, field + at, nearest_depth + at,
                        mm_per_px[image], margin, S, &place))
            continue;
        const real total =
            robust(place.outside * place.outside, sigma) + front * robust(place.in_front * place.in_front, sigma);
        if (total != 0) ADD(loss + b, total / V);
    }
}

// Gauss-Newton; a vertex in front is pushed back along z alone.
// accumulates vertex_normal_equations (B, V, 9), see vertex_normal_equations.h
KERNEL(free_space_normal_equations)(const real* grad_loss, const real* posed, const int* index,
                                    const real* coefficients, const real* field, const real* nearest_depth,
                                    const real* mm_per_px, real* vertex_normal_equations, real sigma, real front,
                                    real margin, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const long long image = index[b], at = image * S * S, vertex = (long long)b * V + v;
        const real *p = posed + 3 * vertex, *k = coefficients + 6 * image;
        Place place;
        if (!make_place(p, k, field + at, nearest_depth + at, mm_per_px[image], margin, S, &place)) continue;
        real* q = vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * vertex;
        const real scale = grad_loss[b] / V;
        if (place.outside > 0) {
            const real gx = place.dx * k[0] / p[2], gy = place.dy * k[2] / p[2];
            const real j[3] = {gx, gy, -(gx * p[0] + gy * p[1]) / p[2]};
            add_residual(q, scale * robust_slope(place.outside * place.outside, sigma), j, place.outside);
        }
        if (place.in_front > 0) {
            const real weight = scale * front * robust_slope(place.in_front * place.in_front, sigma);
            ADD(q + 5, weight);
            ADD(q + 8, -weight * place.in_front);
        }
    }
}
