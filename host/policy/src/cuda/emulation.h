// The part of CUDA that the kernels use, on a CPU, for tests. The threads of a block are coroutines on one thread of the
// system, which a barrier switches; the blocks of a grid run one after the other. bf16 numbers round as on a device.
//
// It finds wrong indices, sums and conversions, barriers that not all threads reach, memory that is read before it is
// written (a launch's shared and output memory begin as NaN), and results that depend on the order of threads, such as those of a
// missing barrier: each launch runs with the threads in two orders. It cannot see the limits of a device (registers,
// shared memory, sizes of grids), the rounding of its exponential, misaligned access, or the speed.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#define __global__
#define __device__
// Blocks run one at a time, so the memory of a block is that of the program.
#define __shared__ static
#define DYNAMIC_SHARED(type, name) type *name = (type *)emulation::dynamic_shared

namespace emulation {
struct Index {
    unsigned x, y, z;
};
extern char dynamic_shared[];
void block_barrier();
float exchange(float value, unsigned other);
// Copies `count` numbers of each lane of a warp to all: those of lane l begin at all[l * count].
void gather(const uint32_t *own, unsigned count, uint32_t *all);

typedef void (*Entry)(void **);
void add(const char *name, Entry entry);

template <typename... A, size_t... I>
void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(A *)arguments[I]...);
}

template <typename... A>
void call(void (*kernel)(A...), void **arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

struct Register {
    Register(const char *name, Entry entry) { add(name, entry); }
};
}  // namespace emulation

#define KERNEL(name)                                                                                                  \
    static emulation::Register registered_##name(                                                                     \
        #name, [](void **arguments) { emulation::call(name, arguments); });

extern emulation::Index threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { emulation::block_barrier(); }
inline float __shfl_xor_sync(unsigned, float value, int lanes) { return emulation::exchange(value, threadIdx.x ^ lanes); }
inline float __shfl_sync(unsigned, float value, int lane) {
    return emulation::exchange(value, threadIdx.x / 32 * 32 + lane);
}
// A lane that has no lane so far below keeps its own number.
inline float __shfl_up_sync(unsigned, float value, unsigned lanes) {
    return emulation::exchange(value, threadIdx.x % 32 < lanes ? threadIdx.x : threadIdx.x - lanes);
}
// The threads of a block take turns, so no addition is lost.
inline void atomicOr(uint32_t *to, uint32_t bits) { *to |= bits; }
inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

struct __nv_bfloat16 {
    uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 x) {
    uint32_t bits = (uint32_t)x.bits << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }

// To the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) return {0x7fff};
    return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
