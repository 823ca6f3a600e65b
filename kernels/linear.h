// Small dense algebra on row-major 3x3 matrices and 3x4 affine transforms.
#pragma once
#include "target.h"

// y = A x
DEVICE void matvec3(const real* a, const real* x, real* y) {
    for (int r = 0; r < 3; ++r) y[r] = a[3 * r] * x[0] + a[3 * r + 1] * x[1] + a[3 * r + 2] * x[2];
}

// y = A^T x
DEVICE void matvec3_transposed(const real* a, const real* x, real* y) {
    for (int c = 0; c < 3; ++c) y[c] = a[c] * x[0] + a[3 + c] * x[1] + a[6 + c] * x[2];
}

// C = A B
DEVICE void matmul3(const real* a, const real* b, real* c) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) c[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

// C = A^T B
DEVICE void matmul3_transposed_left(const real* a, const real* b, real* c) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) c[3 * i + j] = a[i] * b[j] + a[3 + i] * b[3 + j] + a[6 + i] * b[6 + j];
}

// C = A B^T
DEVICE void matmul3_transposed_right(const real* a, const real* b, real* c) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j)
            c[3 * i + j] = a[3 * i] * b[3 * j] + a[3 * i + 1] * b[3 * j + 1] + a[3 * i + 2] * b[3 * j + 2];
}

// A += x y^T
DEVICE void add_outer3(real* a, const real* x, const real* y) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) a[3 * i + j] += x[i] * y[j];
}

// <A, B>, the sum of products of entries
DEVICE real inner3(const real* a, const real* b) {
    real sum = 0;
    for (int k = 0; k < 9; ++k) sum += a[k] * b[k];
    return sum;
}

DEVICE real dot3(const real* a, const real* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// the 3x3 part of a 3x4 transform
DEVICE void linear_part(const real* transform, real* a) {
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 3; ++c) a[3 * r + c] = transform[4 * r + c];
}
