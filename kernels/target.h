// The only file that knows which target the kernels are compiled for.
//
// A kernel is written once, in terms of these macros:
//   REAL                               float or double, chosen by the build; `real` below
//   DEVICE                             qualifier of a helper function
//   KERNEL(name)                       an entry point: name on a GPU, name_f32 / name_f64 on the CPU,
//                                      followed by the level of x86-64 that it is compiled for (_v3, _v4)
//   FOR_EACH(i, n)                     independent items, any order
//   FOR_EACH_IMAGE(b, B)               images, one per thread
//   FOR_EACH_IN_IMAGE(b, B, i, n)      items i of image b; on the CPU those of one image run in order on one thread,
//                                      so sums over them are the same for any number of threads
//   FOR_EACH_PIXEL(b, B, row, column, S)  pixels of S x S images, as items of their image
//   ADD(address, value)                adds to memory that items of the same image share
//   ATOMIC_MAX_KEY, ATOMIC_MIN_REAL    for the schedules that share memory between all threads
//   THREAD_INDEX                       index of this thread among those that run images
//   IMAGE_KERNELS                      whether kernels are wanted that run a whole image in one thread; a GPU has others
//   LANES                              how many items an inner loop processes at once
//   UNROLL                             before a loop that a GPU must unroll whole, to keep an array in registers
//
// HANDOPT_EMULATE_CUDA compiles the GPU's schedule for the CPU with a grid of one thread, to test its logic without a
// GPU.
//
// Kernels take flat lists of arguments, even long ones: handopt/backend/signatures.py gives the name and type of each,
// both targets launch from that one table, and a test compares it with the PTX and with the sources, argument by
// argument. Of a struct of parameters it could compare the size only, and ctypes would fill it at every launch.
#pragma once

#ifndef REAL
#error "define REAL as float or double"
#endif
typedef REAL real;
typedef unsigned long long key64;

#ifdef __CUDACC__

#define DEVICE static __device__ __forceinline__
#define KERNEL(name) extern "C" __global__ void name
#define GRID_START ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define GRID_STRIDE ((long long)gridDim.x * blockDim.x)
#define IMAGE_KERNELS 0
#define LANES 1
#define UNROLL _Pragma("unroll")
#define THREAD_INDEX GRID_START
#define ADD(address, value) atomicAdd((address), (value))
DEVICE void atomic_max_key(key64* address, key64 key) { atomicMax(address, key); }
DEVICE void atomic_min_real(float* address, float value) { atomicMin((int*)address, __float_as_int(value)); }
DEVICE void atomic_min_real(double* address, double value) {
    atomicMin((long long*)address, __double_as_longlong(value));
}
DEVICE void atomic_min_int(int* address, int value) { atomicMin(address, value); }
DEVICE key64 bits_of(float value) { return (key64)__float_as_uint(value); }
DEVICE key64 bits_of(double value) { return (key64)__double_as_longlong(value); }

#else

#include <cmath>
#include <cstring>
using std::acos;
using std::ceil;
using std::cos;
using std::exp;
using std::fabs;
using std::floor;
using std::log;
using std::sin;
using std::sqrt;

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define DEVICE static inline __attribute__((always_inline))
#define KERNEL(name) extern "C" void JOIN(name, SUFFIX)
#define GRID_START 0LL
#define GRID_STRIDE 1LL
#define IMAGE_KERNELS 1
#define LANES 16
#define UNROLL
#ifdef _OPENMP
#include <omp.h>
#define THREAD_INDEX omp_get_thread_num()
#else
#define THREAD_INDEX 0
#endif
#define ADD(address, value) (*(address) += (value))
DEVICE void atomic_max_key(key64* address, key64 key) {
    if (key > *address) *address = key;
}
DEVICE void atomic_min_real(real* address, real value) {
    if (value < *address) *address = value;
}
DEVICE void atomic_min_int(int* address, int value) {
    if (value < *address) *address = value;
}
DEVICE key64 bits_of(float value) {
    unsigned int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
DEVICE key64 bits_of(double value) {
    key64 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif

#if defined(__CUDACC__) || defined(HANDOPT_EMULATE_CUDA)

#define FOR_EACH(i, n) for (long long i = GRID_START; i < (long long)(n); i += GRID_STRIDE)
#define FOR_EACH_IMAGE(b, B) FOR_EACH(b, B)
#define FOR_EACH_IN_IMAGE(b, B, i, n)                                                      \
    for (long long item_ = GRID_START; item_ < (long long)(B) * (n); item_ += GRID_STRIDE) \
        for (int b = (int)(item_ / (n)), i = (int)(item_ % (n)), once_ = 1; once_; once_ = 0)
#define FOR_EACH_PIXEL(b, B, row, column, S)   \
    FOR_EACH_IN_IMAGE(b, B, pixel_, (S) * (S)) \
    for (int row = pixel_ / (S), column = pixel_ % (S), here_ = 1; here_; here_ = 0)

#else

#define PRAGMA(text) _Pragma(#text)
#define FOR_EACH(i, n)                                      \
    PRAGMA(omp parallel for schedule(static) if ((n) > 64)) \
    for (long long i = 0; i < (long long)(n); ++i)
#define FOR_EACH_IMAGE(b, B)                               \
    PRAGMA(omp parallel for schedule(static) if ((B) > 1)) \
    for (int b = 0; b < (B); ++b)
#define FOR_EACH_IN_IMAGE(b, B, i, n) \
    FOR_EACH_IMAGE(b, B)              \
    for (int i = 0; i < (n); ++i)
#define FOR_EACH_PIXEL(b, B, row, column, S) \
    FOR_EACH_IN_IMAGE(b, B, row, S)          \
    for (int column = 0; column < (S); ++column)

#endif

DEVICE real max_real(real a, real b) { return a > b ? a : b; }
DEVICE real min_real(real a, real b) { return a < b ? a : b; }
DEVICE int max_int(int a, int b) { return a > b ? a : b; }
DEVICE int min_int(int a, int b) { return a < b ? a : b; }
