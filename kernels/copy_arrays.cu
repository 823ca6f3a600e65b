// The arrays of a call one after the other: one launch takes them to where a CUDA graph reads them.
#include "target.h"

// An array to where the one before it ended
#define COPY(kind, number)                                         \
    FOR_EACH(i, kind##s_##number) kind##s[i] = kind##_##number[i]; \
    kind##s += kind##s_##number;

// reals_n, wholes_n: the sizes of real_n and whole_n, 0 where there is no more | overwrites reals and wholes
KERNEL(copy_arrays)(
    const real* real_0, const real* real_1, const real* real_2, const real* real_3, const real* real_4,
    const real* real_5, const real* real_6, const real* real_7, const real* real_8, const real* real_9,
    const real* real_10, const real* real_11, const real* real_12, const real* real_13, const real* real_14,
    const real* real_15, const real* real_16, const real* real_17, const real* real_18, const real* real_19,
    const real* real_20, const real* real_21, const real* real_22, const real* real_23, const real* real_24,
    const real* real_25, const real* real_26, const int* whole_0, const int* whole_1, const int* whole_2, const int* whole_3,
    const int* whole_4, const int* whole_5, const int* whole_6, const int* whole_7, real* reals, int* wholes,
    int reals_0, int reals_1, int reals_2, int reals_3, int reals_4, int reals_5, int reals_6, int reals_7,
    int reals_8, int reals_9, int reals_10, int reals_11, int reals_12, int reals_13, int reals_14, int reals_15,
    int reals_16, int reals_17, int reals_18, int reals_19, int reals_20, int reals_21, int reals_22, int reals_23,
    int reals_24, int reals_25, int reals_26, int wholes_0, int wholes_1, int wholes_2, int wholes_3, int wholes_4, int wholes_5,
    int wholes_6, int wholes_7) {
    COPY(real, 0) COPY(real, 1) COPY(real, 2) COPY(real, 3) COPY(real, 4) COPY(real, 5)
    COPY(real, 6) COPY(real, 7) COPY(real, 8) COPY(real, 9) COPY(real, 10) COPY(real, 11)
    COPY(real, 12) COPY(real, 13) COPY(real, 14) COPY(real, 15) COPY(real, 16) COPY(real, 17)
    COPY(real, 18) COPY(real, 19) COPY(real, 20) COPY(real, 21) COPY(real, 22) COPY(real, 23)
    COPY(real, 24) COPY(real, 25) COPY(real, 26) COPY(whole, 0) COPY(whole, 1) COPY(whole, 2) COPY(whole, 3)
    COPY(whole, 4) COPY(whole, 5) COPY(whole, 6) COPY(whole, 7)
}
