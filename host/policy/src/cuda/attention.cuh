// The division of a packed batch into tiles, which the kernels of attention share.
#pragma once
#include "common.cuh"

// Rows of a tile.
const int TILE = 32;

// A tile of queries: its first row, the number of rows, the first row and the number of rows of its prompt (0 for a prompt
// itself), and the first row of its part. A query attends to the last `window` keys up to its own.
struct Queries {
    int row, count, prompt, prompt_rows, part, window;
    __device__ Queries(const uint32_t *table, int window)
        : row(table[0]), count(table[1]), prompt(table[2]), prompt_rows(table[3]), part(table[4]), window(window) {}
    // The first key that any query of the tile attends to.
    __device__ int first_key() const {
        const int position = prompt_rows + row - part;
        return position < window ? 0 : position - window + 1;
    }
    // Number of keys up to the tile's last row.
    __device__ int keys() const { return prompt_rows + row - part + count; }
    __device__ int key_row(int key) const { return key < prompt_rows ? prompt + key : part + key - prompt_rows; }
    __device__ bool sees(int query, int key) const {
        const int position = prompt_rows + row - part + query;
        return query < count && key <= position && position - key < window;
    }
};

// A tile of keys: its first row, the number of rows, and the end of the rows that may attend to it. Those are the rest of its
// part and, for a prompt, all completions of it, in which positions are later.
struct Keys {
    int row, count, end;
    uint32_t window;
    __device__ Keys(const uint32_t *table, uint32_t window)
        : row(table[0]), count(table[1]), end(table[2]), window(window) {}
    // The position of a query less that of the tile's first key; negative for a row that attends to no key.
    __device__ int ahead(const uint32_t *positions, int query_row) const {
        return query_row < end ? (int)(positions[query_row] - positions[row]) : -1;
    }
    // A query attends to the keys up to its own, of which the first ones are before its window. A key beyond the tile may seem
    // to be seen; its sums are never written.
    __device__ bool seen(int key, int ahead) const { return (uint32_t)(ahead - key) < window; }
};
