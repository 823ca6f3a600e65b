// What the compiled library says of itself.
#ifdef _OPENMP
#include <omp.h>
#endif

extern "C" const char* handopt_source_hash() { return HANDOPT_SOURCE_HASH; }

extern "C" const char* handopt_schedule() {
#ifdef HANDOPT_EMULATE_CUDA
    return "grid";
#else
    return "image";
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
