// Surfaces of a depth image: flying pixels, depth-connected components and their areas, planes, and the pixels that go
// with samples of a coarser image. For the CPU alone, where the observation is made: each is one pass over the pixels.
//
// steps (H, W): a function of depth that differs by at most 1 between neighbours on one surface, NaN where nothing is
// measured (handopt.observation.surfaces). depth (H, W) mm, 0 = none. Compiled without fused products, so that results
// are NumPy's to the bit on every processor.
#include "target.h"

#if IMAGE_KERNELS

#define MOST_SAMPLES 16  // of a cell of a grid: handopt.observation.crop.MAX_SAMPLES squared

typedef unsigned char byte;

DEVICE int linked(real one, real other) { return (int)(fabs(one - other) <= 1); }

// The middle of three in a row lies strictly between the others and on neither's surface.
DEVICE int between(real before, real here, real after) {
    const real to = here - before, from = after - here;
    return ((int)(to > 1) & (int)(from > 1)) | ((int)(to < -1) & (int)(from < -1));
}

// A row of an image with a pixel of nothing on either side; nothing at all beyond the image.
DEVICE void copy_row(const real* steps, int row, int H, int W, real* copy) {
    const real nothing = (real)NAN;
    copy[0] = copy[W + 1] = nothing;
    if (row < 0 || row >= H)
        for (int x = 1; x <= W; ++x) copy[x] = nothing;
    else
        memcpy(copy + 1, steps + (long long)row * W, W * sizeof(real));
}

// Flying pixels lie between their neighbours in a row or column, on neither's surface; speckle shares its surface with
// fewer than min_support of 8 neighbours. scratch (3, W + 2) | depth becomes 0 there, and steps NaN
KERNEL(drop_flying)(real* depth, real* steps, real* scratch, int min_support, int H, int W) {
    real *up = scratch, *here = scratch + W + 2, *down = scratch + 2 * (W + 2);
    copy_row(steps, -1, H, W, up);
    copy_row(steps, 0, H, W, here);
    for (int y = 0; y < H; ++y) {
        copy_row(steps, y + 1, H, W, down);
        real *depth_row = depth + (long long)y * W, *steps_row = steps + (long long)y * W;
        for (int x = 0; x < W; ++x) {
            const real s = here[x + 1];
            const int support = linked(s, up[x]) + linked(s, up[x + 1]) + linked(s, up[x + 2]) + linked(s, here[x]) +
                                linked(s, here[x + 2]) + linked(s, down[x]) + linked(s, down[x + 1]) +
                                linked(s, down[x + 2]);
            const int drops = between(here[x], s, here[x + 2]) | between(up[x + 1], s, down[x + 1]) |
                              (int)(support < min_support);
            depth_row[x] = drops ? 0 : depth_row[x];
            steps_row[x] = drops ? (real)NAN : s;
        }
        real* last = up;
        up = here;
        here = down;
        down = last;
    }
}

DEVICE int root_of(int* parents, int node) {
    while (parents[node] != node) {
        parents[node] = parents[parents[node]];
        node = parents[node];
    }
    return node;
}

DEVICE void unite(int* parents, int one, int other) {
    one = root_of(parents, one);
    other = root_of(parents, other);
    if (one < other)
        parents[other] = one;
    else
        parents[one] = other;
}

// Components of pixels that are linked to neighbours in their row or column, or across a gap of up to max_gap pixels
// without a measurement. Runs within rows are united, and numbered from 2 on in the order of their first pixels.
// scratch (H W + 1 + W) int | overwrites labels (H, W) int, 0 where nothing is measured
KERNEL(label_surfaces)(const real* steps, int* scratch, int* labels, int max_gap, int H, int W) {
    int *parents = scratch, *last_row = scratch + (long long)H * W + 1, runs = 0;
    parents[0] = 0;
    for (int x = 0; x < W; ++x) last_row[x] = -1;
    for (int y = 0; y < H; ++y) {
        const real* s = steps + (long long)y * W;
        int *label = labels + (long long)y * W, last = -1;
        for (int x = 0; x < W; ++x) {
            if (s[x] != s[x]) {
                label[x] = 0;
                continue;
            }
            const bool joined = last == x - 1 && last >= 0 && linked(s[x], s[last]);
            if (!joined) {
                ++runs;
                parents[runs] = runs;
                if (last >= 0 && last < x - 1 && x - last - 1 <= max_gap && linked(s[x], s[last]))
                    unite(parents, label[last], runs);
            }
            label[x] = runs;
            last = x;
            const int above = last_row[x];
            last_row[x] = y;
            if (above < 0 || y - above - 1 > max_gap) continue;
            const long long at = x - (long long)(y - above) * W;
            const bool same = joined && above == y - 1 && label[at] == label[at - 1];
            if (linked(s[x], s[at]) && !(same && linked(s[x - 1], s[at - 1]))) unite(parents, label[at], runs);
        }
    }
    int next = 2;
    for (int run = 1; run <= runs; ++run) parents[run] = parents[run] == run ? next++ : parents[parents[run]];
    for (long long i = 0; i < (long long)H * W; ++i) labels[i] = parents[labels[i]];
}

// Label runs of the pixels outside of a mask (H, W) byte, and unite those that touch in a column | overwrites labels
// (H, W) int: the number of each pixel's run, 0 in the mask; parents (H W + 1) int. Returns how many runs there are.
DEVICE int unite_runs(const byte* mask, int* labels, int* parents, int H, int W) {
    int runs = 0;
    for (int y = 0; y < H; ++y) {
        const byte* in = mask + (long long)y * W;
        int *label = labels + (long long)y * W, *above = label - W;
        for (int x = 0; x < W; ++x) {
            if (in[x]) {
                label[x] = 0;
                continue;
            }
            const bool joined = x > 0 && label[x - 1];
            if (!joined) {
                ++runs;
                parents[runs] = runs;
            }
            label[x] = runs;
            if (y > 0 && above[x] && !(joined && above[x - 1])) unite(parents, above[x], runs);
        }
    }
    return runs;
}

// The regions of a mask's outside (H, W) byte, numbered from 1 in the order of their first pixels.
// scratch (H W + 1) int | overwrites labels (H, W) int, 0 in the mask, and count (1) int
KERNEL(label_regions)(const real*, const byte* mask, int* scratch, int* labels, int* count, int H, int W) {
    const int runs = unite_runs(mask, labels, scratch, H, W);
    int next = 0;
    scratch[0] = 0;
    for (int run = 1; run <= runs; ++run) scratch[run] = scratch[run] == run ? ++next : scratch[scratch[run]];
    for (long long i = 0; i < (long long)H * W; ++i) labels[i] = scratch[labels[i]];
    *count = next;
}

// A mask (H, W) byte with the regions outside of it that have at most `most` pixels, if there are two regions.
// scratch (3 H W + 2) int | overwrites filled (H, W) byte
KERNEL(fill_regions)(const real*, const byte* mask, int* scratch, byte* filled, int most, int H, int W) {
    const long long pixels = (long long)H * W;
    int *labels = scratch, *parents = labels + pixels, *sizes = parents + pixels + 1;
    const int runs = unite_runs(mask, labels, parents, H, W);
    int regions = 0;
    for (int run = 0; run <= runs; ++run) sizes[run] = 0;
    for (int run = 1; run <= runs; ++run) {
        regions += parents[run] == run;
        parents[run] = parents[parents[run]];
    }
    parents[0] = 0;
    for (long long i = 0; i < pixels; ++i) ++sizes[parents[labels[i]]];
    sizes[0] = most + 1;
    for (long long i = 0; i < pixels; ++i)
        filled[i] = (byte)(mask[i] | (int)(regions > 1 && sizes[parents[labels[i]]] <= most));
}

// The mean of 3 x 3 pixels, edges doubled, as scipy.ndimage.uniform_filter gives it: with running sums in double, along
// columns and then along rows, each rounded to real. image (H, W) | sums (W) double | overwrites mean (H, W)
DEVICE void mean_of_nine(const real* image, double* sums, real* mean, int H, int W) {
    for (int y = 0; y < H; ++y) {
        const real *here = image + (long long)y * W, *below = y + 1 < H ? here + W : here;
        const real* left = y > 1 ? here - 2 * W : image;
        real* out = mean + (long long)y * W;
        if (y == 0)
            for (int x = 0; x < W; ++x) sums[x] = ((double)here[x] + (double)here[x] + (double)below[x]) / 3.0;
        else
            for (int x = 0; x < W; ++x) sums[x] += ((double)below[x] - (double)left[x]) / 3.0;
        for (int x = 0; x < W; ++x) out[x] = (real)sums[x];
    }
    for (int y = 0; y < H; ++y) {
        real* row = mean + (long long)y * W;
        for (int x = 0; x < W; ++x) sums[x] = (double)row[x];
        double sum = (sums[0] + sums[0] + sums[W > 1 ? 1 : 0]) / 3.0;
        row[0] = (real)sum;
        for (int x = 1; x < W; ++x) {
            sum += (sums[x + 1 < W ? x + 1 : x] - sums[x > 1 ? x - 2 : 0]) / 3.0;
            row[x] = (real)sum;
        }
    }
}

// Where a hand's surface is concave: farther by more than `least` than the middle of two of its pixels on opposite
// sides, `step` away along a row or column, or `aslant` in both. depth (H, W) mm, hand (H, W) byte | smooth (H, W), weight
// (2, H, W) and sums (W) double scratch | overwrites creases (H, W) byte, none within `step` of the border
KERNEL(hand_creases)(const real* depth, const byte* hand, real* smooth, real* weight, double* sums, byte* creases,
                     real least, int step, int aslant, int H, int W) {
    const long long pixels = (long long)H * W;
    memset(creases, 0, pixels);
    if (min_int(H, W) <= 2 * step) return;
    real* image = weight + pixels;
    for (long long i = 0; i < pixels; ++i) image[i] = hand[i] ? depth[i] : 0;
    mean_of_nine(image, sums, smooth, H, W);
    for (long long i = 0; i < pixels; ++i) image[i] = (real)(hand[i] != 0);
    mean_of_nine(image, sums, weight, H, W);
    for (long long i = 0; i < pixels; ++i) smooth[i] /= max_real(weight[i], (real)1e-3);
    const long long sides[4] = {(long long)step * W, step, (long long)aslant * W + aslant, (long long)aslant * W - aslant};
    for (int side = 0; side < 4; ++side)
        for (int y = step; y < H - step; ++y)
            for (int x = step; x < W - step; ++x) {
                const long long at = (long long)y * W + x, one = at + sides[side], other = at - sides[side];
                const int deeper = smooth[at] - (real)0.5 * (smooth[one] + smooth[other]) > least;
                creases[at] = (byte)(creases[at] | (deeper & hand[at] & hand[one] & hand[other]));
            }
}

// Sums of depth^2 by label, in the order of the pixels. accumulates sums (labels) double; label 0 does not count
KERNEL(label_areas)(const real* depth, const int* labels, double* sums, int count) {
    for (int i = 0; i < count; ++i) {
        const real square = depth[i] * depth[i];
        if (labels[i] > 0) sums[labels[i]] += (double)square;
    }
}

// Pixels of `left` that lie in the plane 1/z = a u + b v + c to within thickness + noise z^2, to first order.
// plane (3): a, b, c | left (H, W) byte | overwrites inside (H, W) byte
KERNEL(plane_pixels)(const real* depth, const byte* left, const real* plane, byte* inside, real thickness, real noise,
                     int H, int W) {
    const real a = plane[0], b = plane[1], c = plane[2];
    for (int v = 0; v < H; ++v) {
        const long long at = (long long)v * W;
        const real row = b * (real)v;
        for (int u = 0; u < W; ++u) {
            const real z = depth[at + u], off = fabs(a * (real)u + row + c - 1 / z) * z * z;
            inside[at + u] = (byte)(left[at + u] & (int)(off <= thickness + noise * z * z));
        }
    }
}

// Pixels of a block whose depth lies within the range around their nearest sample, and not on that sample's own surface
// where it is another's. low, high, others (h, w): the range, and the sample's depth | v (rows), u (columns): the sample
// of each row and column | overwrites going (H, W) byte in the block of rows x columns from (top, left) on
KERNEL(going_with)(const real* depth, const real* low, const real* high, const real* others, const int* v, const int* u,
                   byte* going, real step, int top, int left, int rows, int columns, int W, int w) {
    for (int y = 0; y < rows; ++y) {
        const long long at = (long long)(top + y) * W + left, sample = (long long)v[y] * w;
        for (int x = 0; x < columns; ++x) {
            const long long k = sample + u[x];
            const real z = depth[at + x];
            going[at + x] = (byte)((int)(z >= low[k]) & (int)(z <= high[k]) & (int)(fabs(z - others[k]) > step) &
                                   (int)(z > 0));
        }
    }
}

// The extreme of size (odd) x size pixels around each, of those within the image. largest: the greatest value, or else
// the least. Windows of a power of two are joined along rows, and then along columns. image has no NaN.
// scratch (H + size + 1, W + size) | overwrites out (H, W)
DEVICE void join_rows(const real* __restrict one, const real* __restrict other, real* __restrict joined, int count,
                      int largest) {
    if (largest)
        for (int x = 0; x < count; ++x) joined[x] = max_real(one[x], other[x]);
    else
        for (int x = 0; x < count; ++x) joined[x] = min_real(one[x], other[x]);
}

KERNEL(extreme_filter)(const real* image, real* scratch, real* out, int size, int largest, int H, int W) {
    const int half = size / 2, width = W + size, height = H + 2 * half;
    const real nothing = largest ? -(real)INFINITY : (real)INFINITY;
    real *here = scratch + (long long)height * width, *next = here + width;
    for (int y = 0; y < height; ++y) {
        real* row = scratch + (long long)y * width;
        if (y < half || y >= H + half) {
            for (int x = 0; x < W; ++x) row[x] = nothing;
            continue;
        }
        for (int x = 0; x < width; ++x) here[x] = nothing;
        memcpy(here + half, image + (long long)(y - half) * W, W * sizeof(real));
        int length = 1, count = width;
        for (; 2 * length <= size; length *= 2) {
            count -= length;
            join_rows(here, here + length, next, count, largest);
            real* last = here;
            here = next;
            next = last;
        }
        join_rows(here, here + size - length, row, W, largest);
    }
    int length = 1, count = height;
    for (; 2 * length <= size; length *= 2) {
        count -= length;
        for (int y = 0; y < count; ++y) {
            real* row = scratch + (long long)y * width;
            for (int x = 0; x < W; ++x) here[x] = row[x];
            join_rows(here, row + (long long)length * width, row, W, largest);
        }
    }
    for (int y = 0; y < H; ++y) {
        const real* row = scratch + (long long)y * width;
        join_rows(row, row + (long long)(size - length) * width, out + (long long)y * W, W, largest);
    }
}

// Exact Euclidean distances of pixels to the nearest one that is not in a mask, of which there is at least one (A.
// Meijster, J. Roerdink and W. Hesselink, A general algorithm for computing distance transforms in linear time, 2000).
// First along columns: mask (H, W) byte; border: whether what lies around the image is not in the mask either
// | overwrites columns (H, W) px, more than all others where a column has none
DEVICE void distances_along_columns(const byte* mask, int* columns, int border, int H, int W) {
    const int far = H + W, edge = border ? 1 : far;
    for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
            const long long at = (long long)y * W + x;
            columns[at] = !mask[at] ? 0 : y > 0 ? min_int(far, columns[at - W] + 1) : edge;
        }
    for (int x = 0; x < W; ++x) columns[(long long)(H - 1) * W + x] = min_int(columns[(long long)(H - 1) * W + x], edge);
    for (int y = H - 2; y >= 0; --y)
        for (int x = 0; x < W; ++x) {
            const long long at = (long long)y * W + x;
            columns[at] = min_int(columns[at], columns[at + W] + 1);
        }
}

// Then along a row: for each of its pixels the column in which the nearest one is, of several the leftmost. g (W): the
// row's distances along columns; site, start (W) scratch | calls found(x, column, squared distance)
template <typename Found>
DEVICE void nearest_along_row(const int* g, int* site, int* start, int W, Found found) {
    const auto squared = [g](int x, int at) { return (long long)(x - at) * (x - at) + (long long)g[at] * g[at]; };
    int last = 0;
    site[0] = start[0] = 0;
    for (int x = 1; x < W; ++x) {
        while (last >= 0 && squared(start[last], site[last]) > squared(start[last], x)) --last;
        if (last < 0) {
            last = 0;
            site[0] = x;
            start[0] = 0;
            continue;
        }
        const long long i = site[last], at = (long long)x * x - i * i + (long long)g[x] * g[x] - (long long)g[i] * g[i];
        const long long from = at / (2 * (x - i)) + 1;
        if (from < W) {
            ++last;
            site[last] = x;
            start[last] = (int)from;
        }
    }
    for (int x = W - 1; x >= 0; --x) {
        found(x, site[last], squared(x, site[last]));
        if (x == start[last]) --last;
    }
}

// mask (H, W) byte | scratch (H W + 2 W) int | overwrites distance (H, W) px, double
KERNEL(distance_transform)(const real*, const byte* mask, int* scratch, double* distance, int border, int H, int W) {
    int *columns = scratch, *site = scratch + (long long)H * W;
    distances_along_columns(mask, columns, border, H, W);
    for (int y = 0; y < H; ++y) {
        double* row = distance + (long long)y * W;
        nearest_along_row(columns + (long long)y * W, site, site + W, W, [=](int x, int, long long squared) {
            const int edge = min_int(x + 1, W - x);
            row[x] = (double)(border && (long long)edge * edge < squared ? (long long)edge * edge : squared);
        });
    }
    for (long long i = 0; i < (long long)H * W; ++i) distance[i] = sqrt(distance[i]);
}

// The same, and which pixel is the nearest: of several the one in the leftmost column, there the upper one.
// overwrites nearest (H, W) int: its index in the flattened image
KERNEL(nearest_outside)(const real*, const byte* mask, int* scratch, int* nearest, double* distance, int H, int W) {
    int *columns = scratch, *site = scratch + (long long)H * W;
    distances_along_columns(mask, columns, 0, H, W);
    for (int y = 0; y < H; ++y) {
        const int* g = columns + (long long)y * W;
        double* row = distance + (long long)y * W;
        int* nearest_row = nearest + (long long)y * W;
        nearest_along_row(g, site, site + W, W, [=](int x, int column, long long squared) {
            const long long up = (long long)(y - g[column]) * W + column;
            nearest_row[x] = (int)(y >= g[column] && !mask[up] ? up : up + 2LL * g[column] * W);
            row[x] = (double)squared;
        });
    }
    for (long long i = 0; i < (long long)H * W; ++i) distance[i] = sqrt(distance[i]);
}

// What the k x k pixels of each cell of a grid of S x S show. depth (., W) mm, 0 = none; hand, arm, ignored (., W)
// byte, none of the last where it is null; v, u (S k): the pixels' rows and columns, -1 outside of the image
// | overwrites, (S, S) each: count: pixels of the hand that are measured; median: their lower median, or else infinity;
// other: the least depth of other pixels, or else infinity; flags byte: 1 where one is of the arm, 2 where one lies
// outside, 4 where one is ignored
KERNEL(resample_cells)(const real* depth, const byte* hand, const byte* arm, const byte* ignored, const int* v,
                       const int* u, real* median, real* other, int* count, byte* flags, int has_ignored, int S, int k,
                       int W) {
    FOR_EACH(cell, S * S) {
        const int *rows = v + cell / S * k, *columns = u + cell % S * k;
        real of_hand[MOST_SAMPLES], least = (real)INFINITY;
        int found = 0, flag = 0;
        for (int y = 0; y < k; ++y)
            for (int x = 0; x < k; ++x) {
                if (rows[y] < 0 || columns[x] < 0) {
                    flag |= 2;
                    continue;
                }
                const long long at = (long long)rows[y] * W + columns[x];
                const real z = depth[at];
                flag |= (arm[at] ? 1 : 0) | (has_ignored && ignored[at] ? 4 : 0);
                if (!(z > 0)) continue;
                if (!hand[at]) {
                    least = min_real(least, z);
                    continue;
                }
                int place = found++;
                for (; place > 0 && of_hand[place - 1] > z; --place) of_hand[place] = of_hand[place - 1];
                of_hand[place] = z;
            }
        median[cell] = found ? of_hand[(found - 1) / 2] : (real)INFINITY;
        other[cell] = least;
        count[cell] = found;
        flags[cell] = (byte)flag;
    }
}

template <typename T>
DEVICE void reverse_columns(const T* __restrict from, T* __restrict to, int H, int W) {
    for (int y = 0; y < H; ++y, from += W, to += W)
        for (int x = 0; x < W; ++x) to[x] = from[W - 1 - x];
}

// overwrites mirrored (H, W): the columns in reverse order, of elements of 4 bytes or of 1. real says only which of the
// two kernels it is.
KERNEL(mirror_columns)(const real*, const byte* image, byte* mirrored, int bytes, int H, int W) {
    if (bytes == 4)
        reverse_columns((const int*)image, (int*)mirrored, H, W);
    else
        reverse_columns(image, mirrored, H, W);
}
#endif
