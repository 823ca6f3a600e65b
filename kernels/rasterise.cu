// Triangle z-buffer: the nearest surface at every pixel centre. Forward only.
//
//   u = fx X/Z + cx,  v = fy Y/Z + cy;  1/Z is linear in the image, so with the barycentric weights e_k of the image
//   1/Z = sum_k e_k / Z_k,  and the weights of the surface's point are w_k = (e_k / Z_k) / sum_l (e_l / Z_l)
//
// points (B, V, 3) camera frame, mm | faces (F, 3) int, either winding | depth (B, H, W) mm, +infinity before
// Triangles with a corner closer than 1 mm are left out.
#include "linear.h"

// A triangle in the image, and the rows and columns of the pixels that it may cover.
struct Triangle {
    real u[3], v[3], inverse_z[3];
    int first_row, last_row, first_column, last_column;
};

// Twice the signed area of the triangle of edge a -> b and a pixel. The edge's ends are taken in the order of their
// indices, so that the two triangles that share an edge see values of exactly opposite sign, and no pixel falls
// between them.
DEVICE real edge_area(const real* u, const real* v, const int* corners, int a, int b, real column, real row) {
    const bool ordered = corners[a] < corners[b];
    const int first = ordered ? a : b, second = ordered ? b : a;
    const real area = (u[first] - column) * (v[second] - row) - (u[second] - column) * (v[first] - row);
    return ordered ? area : -area;
}

// Project a triangle of an image's points (V, 3). Returns whether it can be seen.
DEVICE bool project_triangle(const real* points, const int* corners, real fx, real fy, real cx, real cy, int W, int H,
                             Triangle& t) {
    bool usable = true;
    for (int k = 0; k < 3; ++k) {
        const real* p = points + 3 * corners[k];
        usable = usable && p[2] > 1;
        t.inverse_z[k] = 1 / (p[2] > 1 ? p[2] : (real)1);
        t.u[k] = fx * p[0] * t.inverse_z[k] + cx;
        t.v[k] = fy * p[1] * t.inverse_z[k] + cy;
        usable = usable && t.u[k] - t.u[k] == 0 && t.v[k] - t.v[k] == 0;
    }
    if (!usable) return false;
    const real left = min_real(t.u[0], min_real(t.u[1], t.u[2])), right = max_real(t.u[0], max_real(t.u[1], t.u[2]));
    const real top = min_real(t.v[0], min_real(t.v[1], t.v[2])), bottom = max_real(t.v[0], max_real(t.v[1], t.v[2]));
    if (right < 0 || left > W - 1 || bottom < 0 || top > H - 1) return false;
    t.first_column = (int)ceil(max_real(left, 0)), t.last_column = (int)floor(min_real(right, W - 1));
    t.first_row = (int)ceil(max_real(top, 0)), t.last_row = (int)floor(min_real(bottom, H - 1));
    return true;
}

// e: twice the areas (3,) opposite to the corners. Returns the depth in mm, or 0 where the pixel is not covered.
DEVICE real depth_at(const Triangle& t, const int* corners, real column, real row, real* e) {
    e[0] = edge_area(t.u, t.v, corners, 1, 2, column, row), e[1] = edge_area(t.u, t.v, corners, 2, 0, column, row);
    e[2] = edge_area(t.u, t.v, corners, 0, 1, column, row);
    const real area = e[0] + e[1] + e[2];
    const bool inside = (e[0] >= 0 && e[1] >= 0 && e[2] >= 0) || (e[0] <= 0 && e[1] <= 0 && e[2] <= 0);
    if (!inside || area == 0) return 0;
    return area / (e[0] * t.inverse_z[0] + e[1] * t.inverse_z[1] + e[2] * t.inverse_z[2]);
}

// lowers depth
KERNEL(rasterise_forward)(const real* points, const int* faces, real* depth, real fx, real fy, real cx, real cy, int B,
                          int V, int F, int W, int H) {
    FOR_EACH_IN_IMAGE(b, B, face, F) {
        const int* corners = faces + 3 * face;
        Triangle t;
        real e[3];
        if (!project_triangle(points + 3LL * b * V, corners, fx, fy, cx, cy, W, H, t)) continue;
        for (int i = t.first_row; i <= t.last_row; ++i)
            for (int j = t.first_column; j <= t.last_column; ++j) {
                const real z = depth_at(t, corners, j, i, e);
                if (z > 0) atomic_min_real(depth + ((long long)b * H + i) * W + j, z);
            }
    }
}

// nearest_face (B, H, W), F before: lowers it to the first face whose depth at the pixel is the nearest one. A compiler
// may contract the formula of the depth in another way here than above, so it may differ by some roundings.
KERNEL(rasterise_faces)(const real* points, const int* faces, const real* depth, int* nearest_face, real fx, real fy,
                        real cx, real cy, int B, int V, int F, int W, int H) {
    const real rounding = sizeof(real) == 4 ? (real)1e-5 : (real)1e-13;
    FOR_EACH_IN_IMAGE(b, B, face, F) {
        const int* corners = faces + 3 * face;
        Triangle t;
        real e[3];
        if (!project_triangle(points + 3LL * b * V, corners, fx, fy, cx, cy, W, H, t)) continue;
        for (int i = t.first_row; i <= t.last_row; ++i)
            for (int j = t.first_column; j <= t.last_column; ++j) {
                const long long pixel = ((long long)b * H + i) * W + j;
                const real z = depth_at(t, corners, j, i, e);
                if (z > 0 && z <= depth[pixel] * (1 + rounding)) atomic_min_int(nearest_face + pixel, face);
            }
    }
}

// overwrites weights (B, H, W, 3), the barycentric coordinates of the point that is seen; 0 where there is no face
KERNEL(rasterise_weights)(const real* points, const int* faces, const int* nearest_face, real* weights, real fx,
                          real fy, real cx, real cy, int B, int V, int F, int W, int H) {
    FOR_EACH_IN_IMAGE(b, B, pixel, H * W) {
        const long long at = (long long)b * H * W + pixel;
        const int* corners = faces + 3LL * nearest_face[at];
        Triangle t;
        real e[3], *w = weights + 3 * at;
        w[0] = w[1] = w[2] = 0;
        if (nearest_face[at] >= F) continue;
        if (!project_triangle(points + 3LL * b * V, corners, fx, fy, cx, cy, W, H, t)) continue;
        const real z = depth_at(t, corners, pixel % W, pixel / W, e);
        if (z == 0) continue;
        const real area = e[0] + e[1] + e[2];
        for (int k = 0; k < 3; ++k) w[k] = e[k] * t.inverse_z[k] * (z / area);
    }
}
