// Distance of observed points to the nearest visible vertex: point-to-plane and point-to-point, robust (Geman-McClure).
//
//   v(n) = argmin over vertices with normal_v . x_v < 0 of |o_n - x_v|^2
//   e = plane (normal_v . (o_n - x_v))^2 + (1 - plane) |o_n - x_v|^2,   rho(e) = sigma^2 e / (sigma^2 + e)
//   L_b = 1/N sum_n rho(e_n), in mm^2; normals and v(n) are held constant in the gradient
//
// observed (I, N, 3), posed (B, V, 3) camera frame, mm | normals (B, V, 3) unit
// index (B) int: the observation of each image
#include "closest_points.h"

#if IMAGE_KERNELS
// One image per thread, which first packs the vertices that face the camera into its scratch memory.
// scratch_points (threads, 3, V) | scratch_numbers (threads, V)
// overwrites nearest (B, N) int, -1 where no vertex faces the camera
KERNEL(closest_points_search)(const real* observed, const int* index, const real* posed, const real* normals,
                              real* scratch_points, int* scratch_numbers, int* nearest, int B, int N, int V) {
    FOR_EACH_IMAGE(b, B) {
        real *px = scratch_points + 3 * (long long)THREAD_INDEX * V, *py = px + V, *pz = py + V;
        int *numbers = scratch_numbers + (long long)THREAD_INDEX * V, facing = 0;
        for (int v = 0; v < V; ++v) {
            const long long at = 3 * ((long long)b * V + v);
            px[facing] = posed[at];
            py[facing] = posed[at + 1];
            pz[facing] = posed[at + 2];
            numbers[facing] = v;
            facing += dot3(normals + at, posed + at) < 0;
        }
        for (int first = 0; first < N; first += LANES) {
            const int count = min_int(LANES, N - first);
            Search search;
            start_search(&search, observed + 3 * ((long long)index[b] * N + first), count);
            for (int k = 0; k < facing; ++k) visit_vertex(&search, px[k], py[k], pz[k], k);
            for (int lane = 0; lane < count; ++lane)
                nearest[(long long)b * N + first + lane] = search.winner[lane] < 0 ? -1 : numbers[search.winner[lane]];
        }
    }
}
#endif

// The same with groups of points in parallel. overwrites nearest
KERNEL(closest_points_search_grid)(const real* observed, const int* index, const real* posed, const real* normals,
                                   int* nearest, int B, int N, int V) {
    FOR_EACH_IN_IMAGE(b, B, group, (N + LANES - 1) / LANES) {
        const int first = group * LANES, count = min_int(LANES, N - first);
        Search search;
        start_search(&search, observed + 3 * ((long long)index[b] * N + first), count);
        search_facing(&search, posed + 3 * (long long)b * V, normals + 3 * (long long)b * V, V);
        for (int lane = 0; lane < count; ++lane) nearest[(long long)b * N + first + lane] = search.winner[lane];
    }
}

// accumulates loss (B); a point without a vertex counts sigma^2, the largest value of rho
KERNEL(closest_points_forward)(const real* observed, const int* index, const real* posed, const real* normals,
                               const int* nearest, real* loss, real sigma, real plane, int B, int N, int V) {
    FOR_EACH_IN_IMAGE(b, B, k, N) {
        const int v = nearest[(long long)b * N + k];
        real rho = sigma * sigma;
        if (v >= 0 && v < V) {
            real difference[3], along;
            const long long at = 3 * ((long long)b * V + v);
            const real e = closest_error(observed + 3 * ((long long)index[b] * N + k), posed + at, normals + at, plane,
                                         difference, &along);
            rho = robust(e, sigma);
        }
        ADD(loss + b, rho / N);
    }
}

// accumulates grad_posed (B, V, 3)
KERNEL(closest_points_backward)(const real* grad_loss, const real* observed, const int* index, const real* posed,
                                const real* normals, const int* nearest, real* grad_posed, real sigma, real plane,
                                int B, int N, int V) {
    FOR_EACH_IN_IMAGE(b, B, k, N) {
        const int v = nearest[(long long)b * N + k];
        if (v < 0 || v >= V) continue;
        real difference[3], along;
        const long long at = 3 * ((long long)b * V + v);
        const real e = closest_error(observed + 3 * ((long long)index[b] * N + k), posed + at, normals + at, plane,
                                     difference, &along);
        const real grad_difference = -2 * grad_loss[b] / N * robust_slope(e, sigma);
        for (int c = 0; c < 3; ++c)
            ADD(grad_posed + at + c, grad_difference * (plane * along * normals[at + c] + (1 - plane) * difference[c]));
    }
}

// accumulates vertex_normal_equations (B, V, 9), see vertex_normal_equations.h
KERNEL(closest_points_normal_equations)(const real* grad_loss, const real* observed, const int* index,
                                        const real* posed, const real* normals, const int* nearest,
                                        real* vertex_normal_equations, real sigma, real plane, int B, int N, int V) {
    FOR_EACH_IN_IMAGE(b, B, k, N) {
        const int v = nearest[(long long)b * N + k];
        if (v < 0 || v >= V) continue;
        real difference[3], along;
        const long long at = (long long)b * V + v;
        const real* normal = normals + 3 * at;
        const real e = closest_error(observed + 3 * ((long long)index[b] * N + k), posed + 3 * at, normal, plane,
                                     difference, &along);
        add_closest(difference, normal, along, e, grad_loss[b] / N, sigma, plane,
                    vertex_normal_equations + VERTEX_NORMAL_EQUATIONS * at);
    }
}
