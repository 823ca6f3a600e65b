// What small networks take of the CPU: convolutions.
// For the CPU alone, where networks look at an image before a fit and after it.
#include "target.h"

#if IMAGE_KERNELS

#ifdef __AVX512F__
#define WIDTH 16  // of a register
#else
#define WIDTH 8
#endif
#define PIXELS 6    // of a row that are computed at once, so that their sums and a weight fit into 16 registers
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

#endif
