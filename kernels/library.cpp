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
