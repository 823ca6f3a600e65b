// A distance field on the crop's grid, interpolated between its pixels.
#pragma once
#include "linear.h"

// The distance at a point, and its derivatives by x and y; all 0 where the point is not finite.
DEVICE real field_distance(const real* field, real x, real y, real mm_per_px, int S, real* dx, real* dy) {
    *dx = *dy = 0;
    if (!(x - x == 0) || !(y - y == 0)) return 0;
    const real edge = S - 1;
    const real xc = min_real(max_real(x, 0), edge), yc = min_real(max_real(y, 0), edge);
    const int j = min_int((int)xc, max_int(S - 2, 0)), i = min_int((int)yc, max_int(S - 2, 0));
    const int right = min_int(j + 1, S - 1), below = min_int(i + 1, S - 1);
    const real u = xc - j, v = yc - i;
    const real f00 = field[i * S + j], f01 = field[i * S + right], f10 = field[below * S + j],
               f11 = field[below * S + right];
    const real top = f00 + u * (f01 - f00), bottom = f10 + u * (f11 - f10);
    if (xc == x) *dx = (1 - v) * (f01 - f00) + v * (f11 - f10);
    if (yc == y) *dy = bottom - top;
    const real ox = x - xc, oy = y - yc, outside = sqrt(ox * ox + oy * oy);
    if (outside > 0) {
        *dx += mm_per_px * ox / outside;
        *dy += mm_per_px * oy / outside;
    }
    return top + v * (bottom - top) + mm_per_px * outside;
}
