// CUDA's names for the host, where each CUDA thread is a thread of the system: for ThreadSanitizer.
//
// Atomics are the hardware's; everything else is as unordered as on a GPU. run_kernel() is the launch.
#pragma once
#define __CUDACC__ 1
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

using std::ceil;
using std::cos;
using std::fabs;
using std::floor;
using std::sin;
using std::sqrt;

struct Extent {
    unsigned x;
};
static thread_local Extent threadIdx, blockIdx;
static const Extent blockDim = {16}, gridDim = {3};

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))

static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline long long __double_as_longlong(double value) {
    long long bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

template <class T, class F>
static inline T changed(T* address, F change) {
    typedef typename std::conditional<sizeof(T) == 4, uint32_t, uint64_t>::type Bits;
    Bits old = __atomic_load_n((Bits*)address, __ATOMIC_RELAXED), bits;
    T before, after;
    do {
        memcpy(&before, &old, sizeof before);
        after = change(before);
        memcpy(&bits, &after, sizeof bits);
    } while (!__atomic_compare_exchange_n((Bits*)address, &old, bits, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}
template <class T, class V>
static inline T atomicAdd(T* address, V value) {
    return changed(address, [=](T old) { return (T)(old + (T)value); });
}
template <class T, class V>
static inline T atomicMax(T* address, V value) {
    return changed(address, [=](T old) { return old > (T)value ? old : (T)value; });
}
template <class T, class V>
static inline T atomicMin(T* address, V value) {
    return changed(address, [=](T old) { return old < (T)value ? old : (T)value; });
}

// Run a kernel on all threads of the grid, which begin together.
template <class F>
static void run_kernel(F kernel) {
    const unsigned count = gridDim.x * blockDim.x;
    std::atomic<unsigned> ready{0};
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < count; ++number) {
        threads.emplace_back([&, number] {
            threadIdx.x = number % blockDim.x;
            blockIdx.x = number / blockDim.x;
            ready.fetch_add(1, std::memory_order_relaxed);
            while (ready.load(std::memory_order_relaxed) < count) std::this_thread::yield();
            kernel();
        });
    }
    for (auto& thread : threads) thread.join();
}
