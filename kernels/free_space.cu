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
#include "free_space.h"

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
        const real total = place_loss(&place, sigma, front);
        if (total != 0) ADD(loss + b, total / V);
    }
}

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
        add_place(&place, p, k, grad_loss[b] / V, sigma, front,
                  vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * vertex);
    }
}
