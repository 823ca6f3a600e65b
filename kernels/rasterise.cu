// Triangle z-buffer: the depth of the nearest surface at every pixel centre. Forward only.
//
//   u = fx X/Z + cx,  v = fy Y/Z + cy;  1/Z is linear in the image, so 1/Z = sum of barycentric weights times 1/Z_k
//
// points (B, V, 3) camera frame, mm | faces (F, 3) int, either winding | depth (B, H, W) mm, +infinity before
// Triangles with a corner closer than 1 mm are left out.
#include "linear.h"

// Twice the signed area of the triangle of edge a -> b and a pixel. The edge's ends are taken in the order of their
// indices: the values of two triangles that share an edge are exactly opposite, and no pixel falls between them.
DEVICE real edge_area(const real* u, const real* v, const int* corners, int a, int b, real column, real row) {
    const bool ordered = corners[a] < corners[b];
    const int first = ordered ? a : b, second = ordered ? b : a;
    const real area = (u[first] - column) * (v[second] - row) - (u[second] - column) * (v[first] - row);
    return ordered ? area : -area;
}

// lowers depth
KERNEL(rasterise_forward)(const real* points, const int* faces, real* depth, real fx, real fy, real cx, real cy, int B,
                          int V, int F, int W, int H) {
    FOR_EACH_IN_IMAGE(b, B, face, F) {
        const int* corners = faces + 3 * face;
        real u[3], v[3], inverse_z[3];
        bool usable = true;
        for (int k = 0; k < 3; ++k) {
            const real* p = points + 3 * ((long long)b * V + corners[k]);
            usable = usable && p[2] > 1;
            inverse_z[k] = 1 / (p[2] > 1 ? p[2] : (real)1);
            u[k] = fx * p[0] * inverse_z[k] + cx;
            v[k] = fy * p[1] * inverse_z[k] + cy;
            usable = usable && u[k] - u[k] == 0 && v[k] - v[k] == 0;
        }
        if (!usable) continue;
        const real left = min_real(u[0], min_real(u[1], u[2])), right = max_real(u[0], max_real(u[1], u[2]));
        const real top = min_real(v[0], min_real(v[1], v[2])), bottom = max_real(v[0], max_real(v[1], v[2]));
        if (right < 0 || left > W - 1 || bottom < 0 || top > H - 1) continue;
        const int j0 = (int)ceil(max_real(left, 0)), j1 = (int)floor(min_real(right, W - 1));
        const int i0 = (int)ceil(max_real(top, 0)), i1 = (int)floor(min_real(bottom, H - 1));
        for (int i = i0; i <= i1; ++i)
            for (int j = j0; j <= j1; ++j) {
                const real e0 = edge_area(u, v, corners, 1, 2, j, i), e1 = edge_area(u, v, corners, 2, 0, j, i);
                const real e2 = edge_area(u, v, corners, 0, 1, j, i), area = e0 + e1 + e2;
                const bool inside = (e0 >= 0 && e1 >= 0 && e2 >= 0) || (e0 <= 0 && e1 <= 0 && e2 <= 0);
                if (!inside || area == 0) continue;
                const real z = area / (e0 * inverse_z[0] + e1 * inverse_z[1] + e2 * inverse_z[2]);
                atomic_min_real(depth + ((long long)b * H + i) * W + j, z);
            }
    }
}
