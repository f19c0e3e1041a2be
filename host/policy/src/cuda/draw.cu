// Draws a token from each row of logits, with a uniform number of [0, 1) for each: the token at which the running sum of
// the weights of the tokens that pass the filters exceeds it, in the order of the vocabulary, or the first of the most
// likely tokens if `greedy`. The filters are those of generate/draw.rs, in its order. For each row the token and the bits
// of its log-probability, without penalty and filters, are written; NONE for a row that is not finite. A block for each
// row.
//
// No row is sorted. A filter passes the tokens above a threshold, which is found bit by bit from the highest: the largest
// number for which the tokens at or above it are enough.
#include "common.cuh"

const uint32_t NONE = 0xffffffffu;
// Warps of a block at most.
const int DRAW_WARPS = 16;

// A number whose order is that of floats.
__device__ inline uint32_t order(float x) {
    const uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float value_of(uint32_t order) {
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

template <typename T> struct Logits {
    const T *row;
    uint32_t width;
    float scale, penalty;
    // A bit for each token that the penalty applies to; null without a penalty.
    const uint32_t *seen;

    __device__ float plain(uint32_t i) const { return wide(row[i]) * scale; }
    __device__ float penalised(uint32_t i) const {
        float x = wide(row[i]);
        if (seen && (seen[i / 32] >> i % 32 & 1)) x = x < 0.0f ? x * penalty : x / penalty;
        return x * scale;
    }
};

// The largest threshold for which the measures of the tokens at or above it add up to `least`. Every thread gets it.
template <typename T, typename Measure>
__device__ uint32_t threshold(const Logits<T> &logits, float least, float *scratch, Measure measure) {
    uint32_t found = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        float sum = 0.0f;
        for (uint32_t i = threadIdx.x; i < logits.width; i += blockDim.x) {
            const float x = logits.penalised(i);
            if (order(x) >= (found | bit)) sum += measure(x);
        }
        if (block_sum(sum, scratch) >= least) found |= bit;
    }
    return found;
}

template <typename T>
__device__ void draw(const T *rows, const uint32_t *uniforms, const uint32_t *seen, uint32_t *drawn, uint32_t width,
                     float scale, uint32_t greedy, uint32_t top_k, float top_p, float min_p, float penalty,
                     uint32_t row_seen) {
    DYNAMIC_SHARED(uint32_t, seen_bits);
    __shared__ float scratch[32], mass_of[DRAW_WARPS], ties_of[DRAW_WARPS];
    const int warps = blockDim.x / 32;
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x;
    const Logits<T> logits = {rows + (size_t)row * width, width, scale, penalty, row_seen > 0 ? seen_bits : nullptr};
    if (row_seen > 0) {
        for (uint32_t i = threadIdx.x; i < (width + 31) / 32; i += blockDim.x) seen_bits[i] = 0;
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < row_seen; i += blockDim.x) {
            const uint32_t token = seen[(size_t)row * row_seen + i];
            if (token != NONE) atomicOr(&seen_bits[token / 32], 1u << token % 32);
        }
        __syncthreads();
    }
    float plain_most = -INFINITY, most = -INFINITY, bad = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float x = logits.plain(i);
        if (!(fabsf(x) < INFINITY)) bad = 1.0f;
        plain_most = fmaxf(plain_most, x);
        most = fmaxf(most, logits.penalised(i));
    }
    plain_most = block_max(plain_most, scratch);
    most = block_max(most, scratch);
    if (block_max(bad, scratch) > 0.0f) {
        if (threadIdx.x == 0) drawn[2 * row] = NONE, drawn[2 * row + 1] = 0;
        return;
    }
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) sum += expf(logits.plain(i) - plain_most);
    const float log_sum = plain_most + logf(block_sum(sum, scratch));
    auto write = [&](uint32_t token) {
        drawn[2 * row] = token, drawn[2 * row + 1] = __float_as_uint(logits.plain(token) - log_sum);
    };
    // Indices are compared as floats, which are exact up to 2^24.
    if (greedy) {
        float first = -INFINITY;
        for (uint32_t i = threadIdx.x; i < width && first == -INFINITY; i += blockDim.x)
            if (logits.penalised(i) == most) first = -(float)i;
        first = block_max(first, scratch);
        if (threadIdx.x == 0) write((uint32_t)-first);
        return;
    }

    // The tokens above `least` pass, and of those at it the first `ties`.
    auto weight = [&](float x) { return expf(x - most); };
    uint32_t least = 0;
    float ties = INFINITY;
    if (top_k > 0 && top_k < width)
        least = threshold(logits, (float)top_k, scratch, [](float) { return 1.0f; });
    if (top_p < 1.0f) {
        const uint32_t floor = least;
        auto measure = [&](float x) { return order(x) >= floor ? weight(x) : 0.0f; };
        float all = 0.0f, above = 0.0f;
        for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) all += measure(logits.penalised(i));
        const float wanted = top_p * block_sum(all, scratch);
        least = threshold(logits, wanted, scratch, measure);
        for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
            const float x = logits.penalised(i);
            if (order(x) > least) above += weight(x);
        }
        above = block_sum(above, scratch);
        ties = fmaxf(ceilf((wanted - above) / weight(value_of(least))), 1.0f);
    }
    if (min_p > 0.0f) {
        const uint32_t floor = order(most + logf(min_p));
        if (floor > least) least = floor, ties = INFINITY;
    }

    // Each warp has a run of consecutive tokens. The sums of the runs say in which of them the token is.
    const uint32_t run = ((width + warps - 1) / warps + 31) / 32 * 32;
    const uint32_t begin = warp * run < width ? warp * run : width, end = begin + run < width ? begin + run : width;
    float mass = 0.0f, tied = 0.0f;
    for (uint32_t i = begin + lane; i < end; i += 32) {
        const float x = logits.penalised(i);
        if (order(x) > least) mass += weight(x);
        if (order(x) == least) tied += 1.0f;
    }
    mass = lane_sum(mass, 32), tied = lane_sum(tied, 32);
    if (lane == 0) mass_of[warp] = mass, ties_of[warp] = tied;
    __syncthreads();
    const float tie_weight = least == 0 ? 0.0f : weight(value_of(least));
    // The sums of the runs before and within `of`, and the ties before it.
    auto sums = [&](int of, float &before, float &within, float &ties_before) {
        before = within = ties_before = 0.0f;
        for (int other = 0; other <= of; other++) {
            before += within;
            if (other > 0) ties_before += ties_of[other - 1];
            const float passing = fminf(fmaxf(ties - ties_before, 0.0f), ties_of[other]);
            within = mass_of[other] + (passing > 0.0f ? passing * tie_weight : 0.0f);
        }
    };
    float before, within, ties_before;
    sums(warps - 1, before, within, ties_before);
    const float wanted = __uint_as_float(uniforms[row]) * (before + within);
    // Rounding may leave a rest after the last token that has a weight; that token is then the one.
    int of = 0;
    for (int other = 0; other < warps; other++) {
        sums(other, before, within, ties_before);
        if (within > 0.0f) of = other;
        if (within > 0.0f && wanted < before + within) break;
    }
    if (warp != of) return;
    sums(of, before, within, ties_before);
    float found = -INFINITY, last = -INFINITY;
    for (uint32_t chunk = begin; chunk < end && found == -INFINITY; chunk += 32) {
        const uint32_t i = chunk + lane;
        const float x = i < end ? logits.penalised(i) : -INFINITY;
        const bool tie = i < end && order(x) == least;
        // Running sums over the lanes, of ties and then of weights.
        float rank = tie ? 1.0f : 0.0f;
        for (int step = 1; step < 32; step *= 2) {
            const float lower = __shfl_up_sync(ALL_LANES, rank, step);
            if (lane >= step) rank += lower;
        }
        const bool passes = i < end && (order(x) > least || (tie && ties_before + rank <= ties));
        const float own = passes ? weight(x) : 0.0f;
        float running = own;
        for (int step = 1; step < 32; step *= 2) {
            const float lower = __shfl_up_sync(ALL_LANES, running, step);
            if (lane >= step) running += lower;
        }
        found = lane_max(own > 0.0f && wanted < before + running ? -(float)i : -INFINITY, 32);
        last = fmaxf(last, lane_max(own > 0.0f ? (float)i : -INFINITY, 32));
        before += __shfl_sync(ALL_LANES, running, 31);
        ties_before += __shfl_sync(ALL_LANES, rank, 31);
    }
    if (lane == 0) write((uint32_t)(found == -INFINITY ? last : -found));
}

#undef FOR_TYPE
#define FOR_TYPE(T, SUFFIX)                                                                                           \
    extern "C" __global__ void draw_##SUFFIX(const T *logits, const uint32_t *uniforms, const uint32_t *seen,         \
                                             uint32_t *drawn, uint32_t width, float scale, uint32_t greedy,           \
                                             uint32_t top_k, float top_p, float min_p, float penalty,                 \
                                             uint32_t row_seen) {                                                     \
        draw(logits, uniforms, seen, drawn, width, scale, greedy, top_k, top_p, min_p, penalty, row_seen);            \
    }                                                                                                                 \
    KERNEL(draw_##SUFFIX)

FOR_TYPE(float, f32)
FOR_TYPE(bf16, bf16)
