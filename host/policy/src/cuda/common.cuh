// The types and reductions that the kernels share. Elements are float or bf16 in memory and float in registers.
#pragma once

#ifdef ALFT_EMULATED
#include "emulation.h"
#else
#include <cuda_bf16.h>
#include <stdint.h>
// Memory of a block whose size the launch gives.
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
// The emulation keeps a table of kernels; a device finds them by their symbols.
#define KERNEL(name)
#endif

typedef __nv_bfloat16 bf16;

__device__ inline float wide(float x) { return x; }
__device__ inline float wide(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ inline T narrow(float x);
template <> __device__ inline float narrow<float>(float x) { return x; }
template <> __device__ inline bf16 narrow<bf16>(float x) { return __float2bfloat16(x); }

// Consecutive elements that are read at once.
template <typename T> struct alignas(16) Eight { T x[8]; };

const unsigned ALL_LANES = 0xffffffffu;

// Sums over the lanes of a warp whose indices differ in the bits below `lanes`, a power of two.
__device__ inline float lane_sum(float x, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

__device__ inline float lane_max(float x, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
    return x;
}

// Sums over the threads of a block in a fixed order. Every thread gets the sum. `scratch` has 32 numbers.
__device__ inline float block_sum(float x, float *scratch) {
    x = lane_sum(x, 32);
    // The numbers of an earlier reduction are read before they are overwritten.
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned warp = 0; warp < blockDim.x / 32; warp++) sum += scratch[warp];
    return sum;
}

__device__ inline float block_max(float x, float *scratch) {
    x = lane_max(x, 32);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float most = scratch[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; warp++) most = fmaxf(most, scratch[warp]);
    return most;
}
