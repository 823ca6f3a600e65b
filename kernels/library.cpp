// Facts about the compiled library, and its settings.
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" const char* handopt_source_hash() { return HANDOPT_SOURCE_HASH; }

extern "C" const char* handopt_schedule() {
#ifdef HANDOPT_EMULATE_CUDA
    return "grid";
#else
    return "image";
#endif
}

// What follows a kernel's name and real type: the highest level of x86-64 that the library has and the processor can.
// Levels differ in the last bits of their results, as they may fuse a product and a sum.
extern "C" const char* handopt_level() {
#ifdef HANDOPT_LEVELS
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("lzcnt") &&
                    __builtin_cpu_supports("movbe") && __builtin_cpu_supports("f16c");
    if (v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return "_v4";
    if (v3) return "_v3";
#endif
    return "";
}

// The counts of instructions that are committed are those of one compiler.
extern "C" const char* handopt_compiler() {
#ifdef __clang__
    return __VERSION__;
#else
    return "GCC " __VERSION__;
#endif
}

// Keeps freed arrays of up to 32 MiB for the next ones of their size. Returning them to the system after every op and
// faulting their pages in again costs more than the kernels.
extern "C" void handopt_keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

// 0 where the library was built without OpenMP
extern "C" int handopt_threads() {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 0;
#endif
}

extern "C" void handopt_set_threads(int count) {
#ifdef _OPENMP
    omp_set_num_threads(count);
#else
    (void)count;
#endif
}
