// What small networks take of the CPU: convolutions, and the descriptions in a bank that are the nearest to given ones.
// For the CPU alone, where networks look at an image before a fit and after it.
#include "target.h"

#if IMAGE_KERNELS

#ifdef __AVX512F__
#define WIDTH 16  // of a register
#else
#define WIDTH 8
#endif
#define PIXELS 6    // of a row that are computed at once, so that their sums and a weight fit into 16 registers
#define ROWS 64     // of the bank that are compared at once
#define VIEWS 4     // that they are compared with at once
typedef real reals __attribute__((vector_size(WIDTH * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real reals8 __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));

// Sums over the windows of COUNT neighbouring pixels, for REGISTERS * WIDTH of N outputs. window: of the first pixel, the
// next one's lies `step` further on; each is `size` rows of `run` numbers, `pitch` apart. sums, added: N numbers for
// each pixel
template <int COUNT, int REGISTERS>
DEVICE void pixels_of(const real* window, int step, int size, int run, int pitch, const real* weight, const real* bias,
                      const real* added, int positive, int N, real* sums) {
    reals sum[COUNT][REGISTERS];
#pragma GCC unroll 6
    for (int p = 0; p < COUNT; ++p)
#pragma GCC unroll 2
        for (int r = 0; r < REGISTERS; ++r) sum[p][r] = *(const reals*)(bias + WIDTH * r);
    for (int row = 0; row < size; ++row) {
        const real *here = window + row * pitch, *factors = weight + (long long)row * run * N;
        for (int k = 0; k < run; ++k, ++here, factors += N) {
            reals by[REGISTERS];
#pragma GCC unroll 2
            for (int r = 0; r < REGISTERS; ++r) by[r] = *(const reals*)(factors + WIDTH * r);
#pragma GCC unroll 6
            for (int p = 0; p < COUNT; ++p) {
                const real x = here[p * step];
#pragma GCC unroll 2
                for (int r = 0; r < REGISTERS; ++r) sum[p][r] += x * by[r];
            }
        }
    }
#pragma GCC unroll 6
    for (int p = 0; p < COUNT; ++p)
#pragma GCC unroll 2
        for (int r = 0; r < REGISTERS; ++r) {
            const long long at = (long long)p * N + WIDTH * r;
            reals found = sum[p][r];
            if (added) found += *(const reals*)(added + at);
            if (positive) found = found > 0 ? found : found * 0;
            *(reals*)(sums + at) = found;
        }
}

// The same for the w pixels of a row
template <int REGISTERS>
DEVICE void row_of(const real* windows, int step, int size, int run, int pitch, const real* weight, const real* bias,
                   const real* added, int positive, int N, int w, real* sums) {
    for (int x = 0; x < w; x += PIXELS) {
        const real *window = windows + x * step, *plus = added ? added + (long long)x * N : 0;
        real* out = sums + (long long)x * N;
#define SOME(count)                                                                                             \
    case count:                                                                                                 \
        pixels_of<count, REGISTERS>(window, step, size, run, pitch, weight, bias, plus, positive, N, out); \
        break
        switch (w - x) {
            SOME(1);
            SOME(2);
            SOME(3);
            SOME(4);
            SOME(5);
            default:
                pixels_of<PIXELS, REGISTERS>(window, step, size, run, pitch, weight, bias, plus, positive, N, out);
        }
#undef SOME
    }
}

// The same for one output of one pixel.
DEVICE void pixel_of(const real* window, int size, int run, int pitch, const real* weight, real bias, const real* added,
                     int positive, int N, real* sum_of) {
    real sum = bias;
    for (int row = 0; row < size; ++row)
        for (int k = 0; k < run; ++k) sum += window[row * pitch + k] * weight[(long long)(row * run + k) * N];
    if (added) sum += *added;
    *sum_of = positive && !(sum > 0) ? sum * 0 : sum;
}

// A convolution without padding: out[b, y, x] = bias + sum over rows r, columns c and channels of
// padded[b, stride y + r, stride x + c] weight[r, c], then + added where it has as many numbers, then max(., 0) where
// `positive`. padded (B, H, W, C); weight (size, size, C, N); bias (N); added, out (B, h, w, N). Each thread computes
// some of the rows, output by output, so that the weights of these stay in its cache.
KERNEL(convolve)(const real* padded, const real* weight, const real* bias, const real* added, real* out, int has_added,
                 int positive, int threads, int size, int stride, int B, int H, int W, int C, int N, int h, int w) {
    const int rows = B * h, parts = threads < rows ? threads : rows, run = size * C, pitch = W * C, step = stride * C;
    FOR_EACH_IMAGE(part, parts) {
        const int first = (int)((long long)rows * part / parts), last = (int)((long long)rows * (part + 1) / parts);
        for (int n = 0; n < N;) {
            const int outputs = N - n < WIDTH ? N - n : N - n < 2 * WIDTH ? WIDTH : 2 * WIDTH;
            for (int row = first; row < last; ++row) {
                const real* windows = padded + ((long long)(row / h) * H + (long long)(row % h) * stride) * pitch;
                const long long here = (long long)row * w * N + n;
                const real* plus = has_added ? added + here : 0;
                if (outputs == 2 * WIDTH)
                    row_of<2>(windows, step, size, run, pitch, weight + n, bias + n, plus, positive, N, w, out + here);
                else if (outputs == WIDTH)
                    row_of<1>(windows, step, size, run, pitch, weight + n, bias + n, plus, positive, N, w, out + here);
                else
                    for (int x = 0; x < w; ++x)
                        for (int o = 0; o < outputs; ++o) {
                            const long long at = (long long)x * N + o;
                            pixel_of(windows + x * step, size, run, pitch, weight + n + o, bias[n + o],
                                     plus ? plus + at : 0, positive, N, out + here + at);
                        }
            }
            n += outputs;
        }
    }
}

DEVICE int before(real distance, int place, real other, int other_place) {
    return distance < other || (distance == other && place < other_place);
}

// Put a distance into a heap of the `count` smallest, whose root is the largest of them, in the root's place.
DEVICE void replace_largest(real* heap, int* places, int count, real distance, int place) {
    int node = 0;
    for (;;) {
        int child = 2 * node + 1;
        if (child >= count) break;
        if (child + 1 < count && before(heap[child], places[child], heap[child + 1], places[child + 1])) ++child;
        if (!before(distance, place, heap[child], places[child])) break;
        heap[node] = heap[child];
        places[node] = places[child];
        node = child;
    }
    heap[node] = distance;
    places[node] = place;
}

// Products of the descriptions of some rows with COUNT views, each summed in the order of its numbers. described (D,
// ROWS); wanted (COUNT, D) | overwrites products (COUNT, ROWS)
template <int COUNT>
DEVICE void products_of(const real* described, const real* wanted, int D, real* products) {
#ifdef __AVX__
    for (int i = 0; i < ROWS; i += 16) {
        reals8 low[COUNT], high[COUNT];
#pragma GCC unroll 4
        for (int t = 0; t < COUNT; ++t) low[t] = high[t] = reals8{};
        for (int d = 0; d < D; ++d) {
            const real* row = described + d * ROWS + i;
            const reals8 by_low = *(const reals8*)row, by_high = *(const reals8*)(row + 8);
#pragma GCC unroll 4
            for (int t = 0; t < COUNT; ++t) {
                const real x = wanted[t * D + d];
                low[t] += x * by_low;
                high[t] += x * by_high;
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < COUNT; ++t) {
            *(reals8*)(products + t * ROWS + i) = low[t];
            *(reals8*)(products + t * ROWS + i + 8) = high[t];
        }
    }
#else  // where such vectors do not fit into registers
    for (int t = 0; t < COUNT; ++t, products += ROWS, wanted += D) {
        for (int i = 0; i < ROWS; ++i) products[i] = 0;
        for (int d = 0; d < D; ++d)
            for (int i = 0; i < ROWS; ++i) products[i] += wanted[d] * described[d * ROWS + i];
    }
#endif
}

// Put those of some rows that are nearer to a view than the farthest in a heap there: of the most, none. A distance
// that is no number is infinite.
DEVICE void keep_nearest(const real* squares, const real* product, real square, int rows, int place, int T,
                         real* nearest, int* places, int count) {
    real distances[ROWS];
    if (rows == ROWS) {
        const real farthest = nearest[0];
        int some = 0;
        for (int i = 0; i < ROWS; ++i) {
            distances[i] = squares[i] - 2 * product[i] + square;
            some |= (int)!(distances[i] > farthest);
        }
        if (!some) return;
    } else {
        for (int i = 0; i < rows; ++i) distances[i] = squares[i] - 2 * product[i] + square;
    }
    for (int i = 0; i < rows; ++i, place += T) {
        const real distance = distances[i] < (real)INFINITY ? distances[i] : (real)INFINITY;
        if (before(distance, place, nearest[0], places[0])) replace_largest(nearest, places, count, distance, place);
    }
}

// The `count` smallest of the squared distances between N described poses and T views, and their places N-row * T +
// view, in no order; of equal ones those of the first places. Of each of `parts` ranges of rows by itself, one per
// thread: the smallest of all are among them. described (ceil(N / 64), D, 64) whole numbers of one byte, 64 rows after
// the other; squares (N): the sums of their squares; wanted (T, D); scratch (parts, 64 D + T) | nearest, places (parts,
// count): infinite, and N T, where a part has fewer
KERNEL(nearest_descriptions)(const real* squares, const signed char* described, const real* wanted, real* scratch,
                             real* nearest, int* places, int parts, int N, int T, int D, int count) {
    FOR_EACH_IMAGE(part, parts) {
        real *reals = scratch + (long long)part * (D * ROWS + T), *of_view = reals + D * ROWS;
        real* nearest_here = nearest + (long long)part * count;
        int* places_here = places + (long long)part * count;
        for (int t = 0; t < T; ++t) {
            of_view[t] = 0;
            for (int d = 0; d < D; ++d) of_view[t] += wanted[t * D + d] * wanted[t * D + d];
        }
        for (int i = 0; i < count; ++i) {
            nearest_here[i] = (real)INFINITY;
            places_here[i] = N * T;
        }
        const int blocks = (N + ROWS - 1) / ROWS, last = (int)((long long)blocks * (part + 1) / parts);
        for (int block = (int)((long long)blocks * part / parts); block < last; ++block) {
            const int first = block * ROWS, rows = min_int(ROWS, N - first);
            const signed char* whole = described + (long long)first * D;
            for (int i = 0; i < D * ROWS; ++i) reals[i] = (real)whole[i];
            for (int view = 0; view < T; view += VIEWS) {
                const int views = min_int(VIEWS, T - view);
                const real* of_views = wanted + (long long)view * D;
                real products[VIEWS * ROWS];
                switch (views) {
                    case 1: products_of<1>(reals, of_views, D, products); break;
                    case 2: products_of<2>(reals, of_views, D, products); break;
                    case 3: products_of<3>(reals, of_views, D, products); break;
                    default: products_of<VIEWS>(reals, of_views, D, products);
                }
                for (int t = 0; t < views; ++t)
                    keep_nearest(squares + first, products + t * ROWS, of_view[view + t], rows, first * T + view + t, T,
                                 nearest_here, places_here, count);
            }
        }
    }
}

#endif
