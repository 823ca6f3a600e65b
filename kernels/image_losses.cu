// Image losses: the difference of two closeness images, and the distance of projected points to the silhouette.
//
//   depth:       L_b = 1/S^2 sum_ij w_ij rho(f_ij - t_ij),
//                rho(e) = e^2 / (2 delta) for |e| <= delta, |e| - delta/2 beyond; delta 0 is the absolute difference
//   silhouette:  L_b = 1/V sum_v d(x_v, y_v)^2, d bilinear in a distance field, continued linearly outside the grid
//
// image (B, S, S), target, weight, field (I, S, S) | index (B) int: the target of each image
#include "field.h"
#include "robust.h"

// accumulates loss (B), row by row in 8 interleaved sums
KERNEL(depth_loss_forward)(const real* image, const real* target, const real* weight, const int* index, real* loss,
                           real delta, int B, int S, int weighted) {
    FOR_EACH_IN_IMAGE(b, B, row, S) {
        const long long to = ((long long)index[b] * S + row) * S;
        const real* w = weighted ? weight + to : nullptr;
        const real total = row_loss(image + ((long long)b * S + row) * S, target + to, w, delta, S);
        ADD(loss + b, total / ((real)S * S));
    }
}

// overwrites grad_image (B, S, S)
KERNEL(depth_loss_backward)(const real* grad_loss, const real* image, const real* target, const real* weight,
                            const int* index, real* grad_image, real delta, int B, int S, int weighted) {
    FOR_EACH_IN_IMAGE(b, B, row, S) {
        const long long at = ((long long)b * S + row) * S, to = ((long long)index[b] * S + row) * S;
        const real grad_mean = grad_loss[b] / ((real)S * S);
        if (weighted) {
            for (int c = 0; c < S; ++c)
                grad_image[at + c] = grad_mean * weight[to + c] * huber_slope(image[at + c] - target[to + c], delta);
        } else {
            for (int c = 0; c < S; ++c)
                grad_image[at + c] = grad_mean * huber_slope(image[at + c] - target[to + c], delta);
        }
    }
}

// points (B, V, 3) crop coordinates | field (I, S, S) mm | mm_per_px (I); accumulates loss (B)
KERNEL(silhouette_forward)(const real* points, const real* field, const int* index, const real* mm_per_px, real* loss,
                           int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const real* p = points + 3 * ((long long)b * V + v);
        real dx, dy;
        const real d =
            field_distance(field + (long long)index[b] * S * S, p[0], p[1], mm_per_px[index[b]], S, &dx, &dy);
        if (d != 0) ADD(loss + b, d * d / V);
    }
}

// overwrites grad_points (B, V, 3)
KERNEL(silhouette_backward)(const real* grad_loss, const real* points, const real* field, const int* index,
                            const real* mm_per_px, real* grad_points, int B, int V, int S) {
    FOR_EACH_IN_IMAGE(b, B, v, V) {
        const long long at = 3 * ((long long)b * V + v);
        real dx, dy;
        const real d = field_distance(field + (long long)index[b] * S * S, points[at], points[at + 1],
                                      mm_per_px[index[b]], S, &dx, &dy);
        const real grad_distance = 2 * grad_loss[b] * d / V;
        grad_points[at] = grad_distance * dx;
        grad_points[at + 1] = grad_distance * dy;
        grad_points[at + 2] = 0;
    }
}
