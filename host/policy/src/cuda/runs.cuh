// The division of a list of tensors into runs of numbers, one for each block: runs[2 b] is the tensor of block b, and
// runs[2 b + 1] the first of its numbers.
#pragma once
#include "common.cuh"

struct Run {
    uint32_t tensor, first, last;
    __device__ Run(const uint32_t *runs, const uint32_t *counts, uint32_t length)
        : tensor(runs[2 * blockIdx.x]), first(runs[2 * blockIdx.x + 1]) {
        last = first + length < counts[tensor] ? first + length : counts[tensor];
    }
};
