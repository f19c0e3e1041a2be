// The division of a packed batch into tiles, which the kernels of attention share.
#pragma once
#include "common.cuh"

// Rows of a tile.
const int TILE = 32;

// A tile of queries: its first row, the number of rows, the first row and the number of rows of its prompt (0 for a prompt
// itself), and the first row of its part.
struct Queries {
    int row, count, prompt, prompt_rows, part;
    __device__ Queries(const uint32_t *table)
        : row(table[0]), count(table[1]), prompt(table[2]), prompt_rows(table[3]), part(table[4]) {}
    // Number of keys up to the tile's last row.
    __device__ int keys() const { return prompt_rows + row - part + count; }
    __device__ int key_row(int key) const { return key < prompt_rows ? prompt + key : part + key - prompt_rows; }
    __device__ bool sees(int query, int key) const { return query < count && key <= prompt_rows + row - part + query; }
};
