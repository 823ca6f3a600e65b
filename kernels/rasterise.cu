// Triangle z-buffer: the nearest surface at every pixel centre. Forward only.
//
//   u = fx X/Z + cx,  v = fy Y/Z + cy;  1/Z is linear in the image, so with the barycentric weights e_k of the image
//   1/Z = sum_k e_k / Z_k,  and the weights of the surface's point are w_k = (e_k / Z_k) / sum_l (e_l / Z_l)
//
// points (B, V, 3) camera frame, mm | faces (F, 3) int, either winding | depth (B, H, W) mm, +infinity before
// Triangles with a corner closer than 1 mm are left out.
#include "held_memory.h"
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

// A point in the image, and whether it is in front of the camera
struct Corner {
    real u, v, inverse_z;
    int usable;
};

DEVICE Corner project_corner(const real* p, real fx, real fy, real cx, real cy) {
    Corner c;
    c.inverse_z = 1 / (p[2] > 1 ? p[2] : (real)1);
    c.u = fx * p[0] * c.inverse_z + cx;
    c.v = fy * p[1] * c.inverse_z + cy;
    c.usable = p[2] > 1 && c.u - c.u == 0 && c.v - c.v == 0;
    return c;
}

// Returns whether a triangle can be seen.
DEVICE bool place_triangle(const Corner& a, const Corner& b, const Corner& c, int W, int H, Triangle& t) {
    if (!(a.usable && b.usable && c.usable)) return false;
    t.u[0] = a.u, t.u[1] = b.u, t.u[2] = c.u;
    t.v[0] = a.v, t.v[1] = b.v, t.v[2] = c.v;
    t.inverse_z[0] = a.inverse_z, t.inverse_z[1] = b.inverse_z, t.inverse_z[2] = c.inverse_z;
    const real left = min_real(t.u[0], min_real(t.u[1], t.u[2])), right = max_real(t.u[0], max_real(t.u[1], t.u[2]));
    const real top = min_real(t.v[0], min_real(t.v[1], t.v[2])), bottom = max_real(t.v[0], max_real(t.v[1], t.v[2]));
    if (right < 0 || left > W - 1 || bottom < 0 || top > H - 1) return false;
    t.first_column = (int)ceil(max_real(left, 0)), t.last_column = (int)floor(min_real(right, W - 1));
    t.first_row = (int)ceil(max_real(top, 0)), t.last_row = (int)floor(min_real(bottom, H - 1));
    return true;
}

// Project a triangle of an image's points (V, 3). Returns whether it can be seen.
DEVICE bool project_triangle(const real* points, const int* corners, real fx, real fy, real cx, real cy, int W, int H,
                             Triangle& t) {
    return place_triangle(project_corner(points + 3 * corners[0], fx, fy, cx, cy),
                          project_corner(points + 3 * corners[1], fx, fy, cx, cy),
                          project_corner(points + 3 * corners[2], fx, fy, cx, cy), W, H, t);
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

// depth (H, W): of the triangle's image
DEVICE void draw_triangle(const Triangle& t, const int* corners, real* depth, int W) {
    real e[3];
    for (int i = t.first_row; i <= t.last_row; ++i)
        for (int j = t.first_column; j <= t.last_column; ++j) {
            const real z = depth_at(t, corners, j, i, e);
            if (z > 0) atomic_min_real(depth + (long long)i * W + j, z);
        }
}

// An emulated GPU runs the GPU's schedule
#if IMAGE_KERNELS && !defined(HANDOPT_EMULATE_CUDA)
#define DRAW_BY_ROWS 1
#else
#define DRAW_BY_ROWS 0
#endif

#if DRAW_BY_ROWS
#define PIXELS 8
typedef real pixels __attribute__((vector_size(PIXELS * sizeof(real)), aligned(sizeof(real)), may_alias));

// The ends of an edge in the order of their indices, and the sign of its areas; see edge_area.
struct Edge {
    real u[2], v[2], sign;
};

DEVICE Edge edge_of(const Triangle& t, const int* corners, int a, int b) {
    const bool ordered = corners[a] < corners[b];
    const int first = ordered ? a : b, second = ordered ? b : a;
    return Edge{{t.u[first], t.u[second]}, {t.v[first], t.v[second]}, ordered ? (real)1 : (real)-1};
}

DEVICE pixels edge_areas(const Edge& edge, pixels column, real row) {
    return edge.sign * ((edge.u[0] - column) * (edge.v[1] - row) - (edge.u[1] - column) * (edge.v[0] - row));
}

// The same for PIXELS columns at once, of images that are at least as wide
DEVICE void draw_triangle_by_rows(const Triangle& t, const int* corners, real* depth, int W) {
    const Edge edges[3] = {edge_of(t, corners, 1, 2), edge_of(t, corners, 2, 0), edge_of(t, corners, 0, 1)};
    pixels lane;
    for (int k = 0; k < PIXELS; ++k) lane[k] = (real)k;
    for (int i = t.first_row; i <= t.last_row; ++i)
        for (int j = t.first_column; j <= t.last_column; j += PIXELS) {
            const int first = min_int(j, W - PIXELS);
            const pixels column = lane + (real)first;
            const pixels e0 = edge_areas(edges[0], column, (real)i), e1 = edge_areas(edges[1], column, (real)i),
                         e2 = edge_areas(edges[2], column, (real)i);
            const pixels area = e0 + e1 + e2;
            const pixels z = area / (e0 * t.inverse_z[0] + e1 * t.inverse_z[1] + e2 * t.inverse_z[2]);
            pixels* place = (pixels*)(depth + (long long)i * W + first);
            const auto inside = ((e0 >= 0) & (e1 >= 0) & (e2 >= 0)) | ((e0 <= 0) & (e1 <= 0) & (e2 <= 0));
            const auto drawn = inside & (column >= (real)t.first_column) & (column <= (real)t.last_column) & (z > 0) &
                               (z < *place);
            *place = drawn ? z : *place;
        }
}
#endif

// lowers depth
KERNEL(rasterise_forward)(const real* points, const int* faces, real* depth, real fx, real fy, real cx, real cy, int B,
                          int V, int F, int W, int H) {
#if DRAW_BY_ROWS
    // Each point is projected once, and not for every triangle that it is a corner of.
    FOR_EACH_IMAGE(b, B) {
        Corner* projected = (Corner*)held_memory(0, V * sizeof(Corner));
        for (int v = 0; v < V; ++v) projected[v] = project_corner(points + 3 * ((long long)b * V + v), fx, fy, cx, cy);
        for (int face = 0; face < F; ++face) {
            const int* corners = faces + 3 * face;
            Triangle t;
            if (!place_triangle(projected[corners[0]], projected[corners[1]], projected[corners[2]], W, H, t)) continue;
            if (W >= PIXELS)
                draw_triangle_by_rows(t, corners, depth + (long long)b * H * W, W);
            else
                draw_triangle(t, corners, depth + (long long)b * H * W, W);
        }
    }
#else
    FOR_EACH_IN_IMAGE(b, B, face, F) {
        const int* corners = faces + 3 * face;
        Triangle t;
        if (project_triangle(points + 3LL * b * V, corners, fx, fy, cx, cy, W, H, t))
            draw_triangle(t, corners, depth + (long long)b * H * W, W);
    }
#endif
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
