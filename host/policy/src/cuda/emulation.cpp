// The scheduler of the emulation, and the kernels compiled for it.
#include "emulation.h"

#include <setjmp.h>
#include <ucontext.h>

#include <map>
#include <string>
#include <vector>

emulation::Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {
const size_t STACK = 64 << 10;
const size_t SHARED = 100 << 10;
const unsigned WARP = 32;

alignas(16) char dynamic_shared[SHARED];

struct Barrier {
    unsigned arrived, generation;
};

// A coroutine, which runs a kernel whenever it is resumed. It is begun by ucontext; from then on jumps switch to it and
// back, which save no signal mask and so need no system call.
struct Thread {
    jmp_buf here;
    bool begun, done;
};

const unsigned MOST_THREADS = 1024;

static Thread threads[MOST_THREADS];
static char *stacks;
static std::vector<float> exchanged;
static std::vector<Barrier> warps;
static Barrier block;
static jmp_buf scheduler;
static Entry entry;
static void **arguments;
// True once a thread arrived at a barrier or ended since the last round over all threads.
static bool moved;

static std::map<std::string, Entry> &table() {
    static std::map<std::string, Entry> kernels;
    return kernels;
}

void add(const char *name, Entry kernel) { table()[name] = kernel; }

static void leave(unsigned self) {
    if (!_setjmp(threads[self].here)) _longjmp(scheduler, 1);
}

static void run_thread() {
    for (unsigned self = threadIdx.x;;) {
        entry(arguments);
        threads[self].done = true;
        moved = true;
        leave(self);
    }
}

// Runs a thread until it waits or ends.
static void enter(unsigned self) {
    if (_setjmp(scheduler)) return;
    if (threads[self].begun) _longjmp(threads[self].here, 1);
    threads[self].begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks + self * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, run_thread, 0);
    setcontext(&context);
}

static void wait(Barrier &barrier, unsigned threads_of_barrier) {
    unsigned generation = barrier.generation, self = threadIdx.x;
    moved = true;
    if (++barrier.arrived == threads_of_barrier) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    while (barrier.generation == generation) leave(self);
}

void block_barrier() { wait(block, blockDim.x); }

float exchange(float value, unsigned other) {
    unsigned self = threadIdx.x;
    Barrier &warp = warps[self / WARP];
    exchanged[self] = value;
    wait(warp, WARP);
    float received = exchanged[other];
    wait(warp, WARP);
    return received;
}

void gather(const uint32_t *own, unsigned count, uint32_t *all) {
    static uint32_t gathered[MOST_THREADS * 8];
    unsigned self = threadIdx.x;
    Barrier &warp = warps[self / WARP];
    for (unsigned i = 0; i < count; i++) gathered[self * count + i] = own[i];
    wait(warp, WARP);
    memcpy(all, gathered + self / WARP * WARP * count, WARP * count * sizeof(uint32_t));
    wait(warp, WARP);
}

// Runs the threads of a block until all have ended. Returns false if they wait for each other at different barriers.
static bool run_block(bool backwards) {
    unsigned count = blockDim.x;
    block = {0, 0};
    warps.assign(count / WARP, {0, 0});
    memset(dynamic_shared, 0xff, SHARED);
    for (unsigned i = 0; i < count; i++) threads[i].done = false;
    for (unsigned left = count; left > 0;) {
        moved = false;
        left = 0;
        for (unsigned i = 0; i < count; i++) {
            unsigned turn = backwards ? count - 1 - i : i;
            if (threads[turn].done) continue;
            threadIdx = {turn, 0, 0};
            enter(turn);
            left += !threads[turn].done;
        }
        if (left > 0 && !moved) {
            // The waiting threads are given up, and begun anew by the next launch.
            for (unsigned i = 0; i < count; i++) threads[i].begun = threads[i].begun && threads[i].done;
            return false;
        }
    }
    return true;
}
}  // namespace emulation

// Runs a kernel over a grid. Returns 0, or 1 for an unknown kernel, 2 for a launch that no device accepts, 3 for
// threads that wait for each other for ever.
extern "C" int emulate(const char *name, unsigned grid_x, unsigned grid_y, unsigned count, unsigned shared, int backwards,
                       void **arguments) {
    using namespace emulation;
    auto found = table().find(name);
    if (found == table().end()) return 1;
    if (count == 0 || count % WARP != 0 || count > MOST_THREADS || shared > SHARED || grid_x == 0 || grid_y == 0) return 2;
    entry = found->second;
    emulation::arguments = arguments;
    gridDim = {grid_x, grid_y, 1};
    blockDim = {count, 1, 1};
    // Pages of a stack that no thread uses are never touched.
    if (!stacks) stacks = new char[MOST_THREADS * STACK];
    exchanged.resize(count);
    for (unsigned y = 0; y < grid_y; y++)
        for (unsigned x = 0; x < grid_x; x++) {
            blockIdx = {x, y, 0};
            if (!run_block(backwards)) return 3;
        }
    return 0;
}

#include "adamw.cu"
#include "add_rows.cu"
#include "attention.cu"
#include "decoding.cu"
#include "draw.cu"
#include "dropout.cu"
#include "embed.cu"
#include "glu.cu"
#include "merge.cu"
#include "rms_norm.cu"
#include "rotary.cu"
#include "tensor_attention.cu"
#include "token_stats.cu"

// Two faulty kernels, by which tests see that faults are found.

// Each thread reads its neighbour's number, and no barrier says that it was written.
extern "C" __global__ void faulty_race(const float *x, float *y) {
    __shared__ float numbers[64];
    numbers[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = numbers[(threadIdx.x + 1) % 64];
}
KERNEL(faulty_race)

// Half of the threads reach the barrier.
extern "C" __global__ void faulty_barrier(const float *x, float *y) {
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
KERNEL(faulty_barrier)
