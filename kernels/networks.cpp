// What small networks take of the CPU: convolutions.
// For the CPU alone, where networks look at an image before a fit and after it.
#include "target.h"

#if IMAGE_KERNELS

#ifdef __AVX512F__
#define WIDTH 16  // of a register
#define PIXELS 8  // that are computed at once, so that their sums and the weights fit into 32 registers
#else
#define WIDTH 8
#define PIXELS 6  // the same for 16 registers
#endif
#define AHEAD 8  // rows of weights that are fetched into the cache before their turn
typedef real reals __attribute__((vector_size(WIDTH * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real reals8 __attribute__((vector_size(8 * sizeof(real)), aligned(sizeof(real)), may_alias));

// Sums over the windows of COUNT neighbouring pixels, for REGISTERS * WIDTH of N outputs. window: of the first pixel, the
// next one's lies `step` further on, and that of the one in the middle `half`, which may be in the next row; each is
// `size` rows of `run` numbers, `pitch` apart. sums, added: N numbers for each pixel
template <int COUNT, int REGISTERS>
DEVICE void pixels_of(const real* window, int step, long long half, int size, int run, int pitch, const real* weight,
                      const real* bias, const real* added, int positive, int N, real* sums) {
    reals sum[COUNT][REGISTERS];
#pragma GCC unroll 8
    for (int p = 0; p < COUNT; ++p)
#pragma GCC unroll 2
        for (int r = 0; r < REGISTERS; ++r) sum[p][r] = *(const reals*)(bias + WIDTH * r);
    for (int row = 0; row < size; ++row) {
        const real *here = window + row * pitch, *there = here + half, *factors = weight + (long long)row * run * N;
        for (int k = 0; k < run; ++k, ++here, ++there, factors += N) {
            reals by[REGISTERS];
#pragma GCC unroll 2
            for (int r = 0; r < REGISTERS; ++r) __builtin_prefetch(factors + AHEAD * N + WIDTH * r);
#pragma GCC unroll 2
            for (int r = 0; r < REGISTERS; ++r) by[r] = *(const reals*)(factors + WIDTH * r);
#pragma GCC unroll 8
            for (int p = 0; p < COUNT; ++p) {
                const real x = p < COUNT / 2 ? here[p * step] : there[(p - COUNT / 2) * step];
#pragma GCC unroll 2
                for (int r = 0; r < REGISTERS; ++r) sum[p][r] += x * by[r];
            }
        }
    }
#pragma GCC unroll 8
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
#define SOME(count)                                                                                                  \
    case count:                                                                                                      \
        pixels_of<count, REGISTERS>(window, step, count / 2 * step, size, run, pitch, weight, bias, plus, positive, N, \
                                    out);                                                                            \
        break
        switch (w - x < PIXELS ? w - x : PIXELS) {
            SOME(1);
            SOME(2);
            SOME(3);
            SOME(4);
            SOME(5);
#if PIXELS > 6
            SOME(6);
            SOME(7);
#endif
            SOME(PIXELS);
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

// The same for some rows of B * h, from padded (B, H, W, C): two at a time where both fit into one call.
template <int REGISTERS>
DEVICE void rows_of(const real* padded, int first, int last, int stride, int size, int H, int W, int C, int h, int w,
                    const real* weight, const real* bias, const real* added, int positive, int N, real* sums) {
    const int run = size * C, pitch = W * C, step = stride * C;
    for (int row = first; row < last; ++row) {
        const long long window = ((long long)(row / h) * H + (long long)(row % h) * stride) * pitch;
        const long long here = (long long)row * w * N;
        const real* plus = added ? added + here : 0;
        if (2 * w == PIXELS && row + 1 < last) {
            ++row;
            const long long next = ((long long)(row / h) * H + (long long)(row % h) * stride) * pitch;
            pixels_of<PIXELS, REGISTERS>(padded + window, step, next - window, size, run, pitch, weight, bias, plus,
                                         positive, N, sums + here);
        } else {
            row_of<REGISTERS>(padded + window, step, size, run, pitch, weight, bias, plus, positive, N, w, sums + here);
        }
    }
}

// A convolution without padding: out[b, y, x] = bias + sum over rows r, columns c and channels of
// padded[b, stride y + r, stride x + c] weight[r, c], then + added where it has as many numbers, then max(., 0) where
// `positive`. padded (B, H, W, C); weight (size, size, C, N); bias (N); added, out (B, h, w, N). Each thread computes
// some of the rows, output by output, so that the weights of these stay in its cache. The last outputs are computed
// twice where that fills a register.
KERNEL(convolve)(const real* padded, const real* weight, const real* bias, const real* added, real* out, int has_added,
                 int positive, int threads, int size, int stride, int B, int H, int W, int C, int N, int h, int w) {
    const int rows = B * h, parts = threads < rows ? threads : rows, run = size * C, pitch = W * C, step = stride * C;
    FOR_EACH_IMAGE(part, parts) {
        const int first = (int)((long long)rows * part / parts), last = (int)((long long)rows * (part + 1) / parts);
        for (int n = 0; n < N;) {
            if (N - n < WIDTH && N >= WIDTH) n = N - WIDTH;
            const int outputs = N - n < WIDTH ? N - n : N - n < 2 * WIDTH ? WIDTH : 2 * WIDTH;
            const real* plus = has_added ? added + n : 0;
            if (outputs == 2 * WIDTH) {
                rows_of<2>(padded, first, last, stride, size, H, W, C, h, w, weight + n, bias + n, plus, positive, N,
                           out + n);
            } else if (outputs == WIDTH) {
                rows_of<1>(padded, first, last, stride, size, H, W, C, h, w, weight + n, bias + n, plus, positive, N,
                           out + n);
            } else {
                for (int row = first; row < last; ++row) {
                    const real* windows = padded + ((long long)(row / h) * H + (long long)(row % h) * stride) * pitch;
                    const long long here = (long long)row * w * N;
                    for (int x = 0; x < w; ++x)
                        for (int o = 0; o < outputs; ++o) {
                            const long long at = here + (long long)x * N + o;
                            pixel_of(windows + x * step, size, run, pitch, weight + o, bias[o], plus ? plus + at : 0,
                                     positive, N, out + at);
                        }
                }
            }
            n += outputs;
        }
    }
}

#endif
