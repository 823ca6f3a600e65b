// What precedes the values in a PNG file: each row is stored as differences from its neighbours (PNG, third edition,
// section 9). For the CPU alone, where images are read.
#include "target.h"

#if IMAGE_KERNELS

typedef unsigned char byte;

DEVICE int paeth(int left, int up, int corner) {
    const int to_left = abs(up - corner), to_up = abs(left - corner), to_corner = abs(left + up - 2 * corner);
    return to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner;
}

// A row of W bytes of which each pixel has BYTES. up: the row above
template <int BYTES>
DEVICE void undo_row(int filter, const byte* stored, const byte* up, int W, byte* row) {
    if (filter == 0) memcpy(row, stored, W);
    if (filter == 1)
        for (int x = 0; x < W; ++x) row[x] = (byte)(stored[x] + (x < BYTES ? 0 : row[x - BYTES]));
    if (filter == 2)
        for (int x = 0; x < W; ++x) row[x] = (byte)(stored[x] + up[x]);
    if (filter == 3)
        for (int x = 0; x < W; ++x) row[x] = (byte)(stored[x] + ((x < BYTES ? 0 : row[x - BYTES]) + up[x]) / 2);
    if (filter == 4)
        for (int x = 0; x < W; ++x)
            row[x] = (byte)(stored[x] +
                            (x < BYTES ? up[x] : paeth(row[x - BYTES], up[x], up[x - BYTES])));
}

// overwrites rows (H, W), bytes of pixels with 2 bytes each, and unknown (1): whether a row has a filter that PNG does
// not. stored (H, 1 + W): the filter before each row; real says only which of the two kernels it is.
KERNEL(undo_png_filters)(const real*, const byte* stored, byte* rows, byte* unknown, int H, int W) {
    const byte* none = (const byte*)calloc(W, 1);
    *unknown = !none;
    const byte* up = none;
    for (int y = 0; y < H && !*unknown; ++y, up = rows, rows += W, stored += 1 + W) {
        *unknown = *stored > 4;
        undo_row<2>(*stored, stored + 1, up, W, rows);
    }
    free((void*)none);
}

#endif
