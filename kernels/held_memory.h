// Memory that a thread keeps for its next image, of the CPU's schedule alone.
#pragma once
#include "target.h"

#if IMAGE_KERNELS
#include <cstdlib>

struct HeldMemory {
    char* base = nullptr;
    size_t bytes = 0;
    ~HeldMemory() { free(base); }
};

// At least so many bytes, on a cache line; each file has slots of its own.
static char* held_memory(int slot, size_t bytes) {
    static thread_local HeldMemory slots[2];
    HeldMemory& held = slots[slot];
    if (held.bytes < bytes) {
        free(held.base);
        held.base = (char*)malloc(bytes + 64);
        held.bytes = held.base ? bytes : 0;
    }
    return held.base ? held.base + (64 - (size_t)held.base % 64) : nullptr;
}
#endif
