// How posed hands compare with an image, and with each other: the sums over pixels and pairs by which hypotheses are
// ranked. For the CPU alone, in one pass each. Compiled without fused products, so that results are the same on every
// processor.
#include "target.h"

#if IMAGE_KERNELS

#define CHUNK 256  // pixels that are computed before they are added up
#define PARTS 8    // sums that run side by side

typedef unsigned char byte;

// The sum of a chunk's values, of which those from `count` on become 0
DEVICE double sum_of(real* values, int count) {
    double sums[PARTS] = {0};
    for (int i = count; i < CHUNK; ++i) values[i] = 0;
    for (int i = 0; i < CHUNK; i += PARTS)
        for (int part = 0; part < PARTS; ++part) sums[part] += (double)values[i + part];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// What each of K meshes leaves unexplained of an image, and what counts of the image: see
// handopt.objective.unexplained. depth (K, h, w) mm of the meshes on every step-th row and column, 0 = none; behind
// (h, w) mm of what they all have, where has_behind; observed, evidence (H, W), hand, free (H, W) byte
// scratch (4, h w) | overwrites wrong (K) double, and whole (1) double
KERNEL(unexplained_pixels)(const real* depth, const real* behind, const real* observed, const byte* hand,
                           const byte* free, const real* evidence, real* scratch, double* wrong, double* whole,
                           real wrong_mm, int has_behind, int has_evidence, int step, int K, int h, int w, int W) {
    const long long pixels = (long long)h * w;
    real *seen = scratch, *missed = scratch + pixels, *invented = missed + pixels, *counts = invented + pixels;
    *whole = 0;
    for (int i = 0; i < h; ++i)
        for (int j = 0; j < w; ++j) {
            const long long from = (long long)i * step * W + (long long)j * step, to = (long long)i * w + j;
            seen[to] = observed[from];
            missed[to] = hand[from] ? (real)1 : (real)0;
            invented[to] = free[from] ? (real)1 : (real)0;
            counts[to] = has_evidence && hand[from] ? evidence[from] : (real)1;
            if (hand[from]) *whole += (double)counts[to];
        }
    for (int k = 0; k < K; ++k) {
        wrong[k] = 0;
        for (long long first = 0; first < pixels; first += CHUNK) {
            const int count = (int)(pixels - first < CHUNK ? pixels - first : CHUNK);
            const real *mesh = depth + k * pixels + first, *others = behind + first, *here = seen + first;
            real values[CHUNK], nearest[CHUNK];
            for (int i = 0; i < count; ++i) nearest[i] = mesh[i];
            if (has_behind)
                for (int i = 0; i < count; ++i) {
                    const int shows = (int)(mesh[i] == 0) | ((int)(others[i] > 0) & (int)(others[i] < mesh[i]));
                    nearest[i] = shows ? others[i] : mesh[i];
                }
            for (int i = 0; i < count; ++i) {
                const real z = nearest[i], away = fabs(z - here[i]), off = (away < wrong_mm ? away : wrong_mm) / wrong_mm;
                const real both = missed[first + i] > 0 ? off : invented[first + i];
                const real value = z > 0 ? both : missed[first + i];
                values[i] = (int)(z > 0) & (int)(z < here[i]) ? value : value * counts[first + i];
            }
            wrong[k] += sum_of(values, count);
        }
    }
}

// Divide a limb at the wrist of a posed hand: see handopt.observation.limb. points (N, 3) mm; covered, at_border (N)
// byte; cm2 (N) double; hand (9): wrist, unit vector from the knuckles to it, palm; tube (2): its radius and growth
// scratch (2, N) | overwrites arm, left, fingers_side (N) byte, and to_palm (N) mm
KERNEL(divide_limb)(const real* points, const byte* covered, const byte* at_border, const double* cm2, const real* hand,
                    const real* tube, real* scratch, byte* arm, byte* left, byte* fingers_side, real* to_palm,
                    real reach, real bend, real near_wrist, real at_wrist, real axis_reach, real least_cm2, real before,
                    real entry, int N) {
    real *away = scratch, *along = scratch + N, axis[3] = {0, 0, 0};
    double sum[3] = {0, 0, 0}, area = 0;
    for (int n = 0; n < N; ++n) {
        const real *p = points + 3 * (long long)n, x = p[0] - hand[0], y = p[1] - hand[1], z = p[2] - hand[2];
        const real px = p[0] - hand[6], py = p[1] - hand[7], pz = p[2] - hand[8];
        away[n] = sqrt(x * x + y * y + z * z);
        along[n] = x * hand[3] + y * hand[4] + z * hand[5];
        to_palm[n] = sqrt(px * px + py * py + pz * pz);
        arm[n] = 0;
        left[n] = (byte)(!covered[n] & (int)(away[n] < reach));
    }
    for (int n = 0; n < N; ++n) {
        if (!left[n] || !(along[n] > bend * away[n]) || !(away[n] > near_wrist) || !(away[n] < axis_reach)) continue;
        const real* p = points + 3 * (long long)n;
        for (int c = 0; c < 3; ++c) sum[c] += (double)((p[c] - hand[c]) / away[n]);
        area += cm2[n];
    }
    if (area > (double)least_cm2) {
        const double length = sqrt(sum[0] * sum[0] + sum[1] * sum[1] + sum[2] * sum[2]);
        for (int c = 0; c < 3; ++c) axis[c] = (real)(sum[c] / length);
        for (int n = 0; n < N; ++n) {
            const real* p = points + 3 * (long long)n;
            const real on = (p[0] - hand[0]) * axis[0] + (p[1] - hand[1]) * axis[1] + (p[2] - hand[2]) * axis[2];
            const real rest = away[n] * away[n] - on * on, across = sqrt(rest > 0 ? rest : (real)0);
            const real radius = tube[0] + tube[1] * (on > 0 ? on : (real)0);
            arm[n] = (byte)(left[n] & (int)(on > -before) & (int)(across < radius) & (int)(along[n] > -near_wrist));
        }
    }
    for (int n = 0; n < N; ++n) {
        arm[n] = (byte)(arm[n] | (left[n] & (int)(along[n] > 0) & (int)(away[n] < at_wrist)));
        fingers_side[n] = (byte)(at_border[n] & !arm[n] & (int)(along[n] < -entry) & (int)(away[n] < reach));
        left[n] = (byte)(left[n] & !arm[n]);
    }
}

// Areas of a limb by what a posed hand makes of them: see handopt.objective.limb_fraction. seen (h, w) mm of the hand,
// 0 = none; pixels (N) int, of the image; points (N, 3) mm; cm2, counted_cm2 (N) double; left (N) byte and to_palm (N)
// mm as divide_limb gives them; mask, nothing (h, w) byte; depth (h, w) mm | overwrites areas (5) double, cm2: what the
// hand covers; what is left near it and far from it; what is wrong of the covered; and the sum of squares, mm2, of the
// hand's depth where it is proven not to be
KERNEL(limb_areas)(const real* seen, const int* pixels, const real* points, const double* cm2, const double* counted_cm2,
                   const byte* left, const real* to_palm, const byte* mask, const byte* nothing, const real* depth,
                   double* areas, real wrong_mm, real finger_reach, real behind_mm, int N, int h, int w) {
    for (int part = 0; part < 5; ++part) areas[part] = 0;
    for (int n = 0; n < N; ++n) {
        const real here = seen[pixels[n]], z = points[3 * (long long)n + 2];
        if (here > 0) {
            const real away = z < here ? here - z : z - here;
            const double off = (double)((away < wrong_mm ? away : wrong_mm) / wrong_mm);
            areas[0] += cm2[n];
            areas[3] += off * (here < z ? cm2[n] : counted_cm2[n]);
        }
        if (left[n]) areas[to_palm[n] < finger_reach ? 1 : 2] += counted_cm2[n];
    }
    const long long all = (long long)h * w;
    for (long long first = 0; first < all; first += CHUNK) {
        const int count = (int)(all - first < CHUNK ? all - first : CHUNK);
        const real *hand = seen + first, *measured = depth + first;
        const byte *limb = mask + first, *empty = nothing + first;
        real free[CHUNK];
        int any = 0;
        for (int i = 0; i < count; ++i) {
            const int behind = (int)(measured[i] > hand[i] + behind_mm) | (int)empty[i];
            const int counts = behind & (int)!limb[i] & (int)(hand[i] > 0);
            free[i] = counts ? hand[i] : (real)0;
            any |= counts;
        }
        if (!any) continue;
        for (int i = 0; i < count; ++i) areas[4] += (double)free[i] * (double)free[i];
    }
}

// depth (n) mm: infinity, which the rasteriser leaves where there is no surface, becomes 0
KERNEL(clear_unseen)(real* depth, int n) {
    for (int i = 0; i < n; ++i) depth[i] = depth[i] < (real)INFINITY ? depth[i] : (real)0;
}

// Which of B poses of the same image are the same: the mean distance of their joints (B, N, 3) is below most_mm.
// images (B) int | overwrites same (B, B) byte
KERNEL(same_poses)(const real* joints, const int* images, byte* same, real most_mm, int B, int N) {
    for (int a = 0; a < B; ++a) {
        same[(long long)a * B + a] = 1;
        for (int b = 0; b < a; ++b) {
            real sum = images[a] == images[b] ? 0 : most_mm * (real)N;
            const real *one = joints + 3 * (long long)a * N, *other = joints + 3 * (long long)b * N;
            for (int n = 0; n < N && sum < most_mm * (real)N; ++n) {
                const real x = one[3 * n] - other[3 * n], y = one[3 * n + 1] - other[3 * n + 1],
                           z = one[3 * n + 2] - other[3 * n + 2];
                sum += sqrt(x * x + y * y + z * z);
            }
            same[(long long)a * B + b] = same[(long long)b * B + a] = (byte)(sum < most_mm * (real)N);
        }
    }
}

#endif
