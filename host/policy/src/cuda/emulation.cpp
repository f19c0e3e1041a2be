// The scheduler of the emulation, and the kernels compiled for it.
#include "emulation.h"

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

struct Thread {
    ucontext_t context;
    bool done;
};

static std::vector<Thread> threads;
static std::vector<char> stacks;
static std::vector<float> exchanged;
static std::vector<Barrier> warps;
static Barrier block;
static ucontext_t scheduler;
static Entry entry;
static void **arguments;
// True once a thread arrived at a barrier or ended since the last round over all threads.
static bool moved;

static std::map<std::string, Entry> &table() {
    static std::map<std::string, Entry> kernels;
    return kernels;
}

void add(const char *name, Entry kernel) { table()[name] = kernel; }

static void wait(Barrier &barrier, unsigned threads_of_barrier) {
    unsigned generation = barrier.generation, self = threadIdx.x;
    moved = true;
    if (++barrier.arrived == threads_of_barrier) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    while (barrier.generation == generation) swapcontext(&threads[self].context, &scheduler);
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

static void run_thread() {
    unsigned self = threadIdx.x;
    entry(arguments);
    threads[self].done = true;
    moved = true;
    swapcontext(&threads[self].context, &scheduler);
}

// Runs the threads of a block until all have ended. Returns false if they wait for each other at different barriers.
static bool run_block(bool backwards) {
    unsigned count = blockDim.x;
    block = {0, 0};
    warps.assign(count / WARP, {0, 0});
    memset(dynamic_shared, 0xff, SHARED);
    for (unsigned i = 0; i < count; i++) {
        Thread &thread = threads[i];
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = &stacks[i * STACK];
        thread.context.uc_stack.ss_size = STACK;
        thread.context.uc_link = nullptr;
        thread.done = false;
        makecontext(&thread.context, run_thread, 0);
    }
    for (unsigned left = count; left > 0;) {
        moved = false;
        left = 0;
        for (unsigned i = 0; i < count; i++) {
            unsigned turn = backwards ? count - 1 - i : i;
            if (threads[turn].done) continue;
            threadIdx = {turn, 0, 0};
            swapcontext(&scheduler, &threads[turn].context);
            left += !threads[turn].done;
        }
        if (left > 0 && !moved) return false;
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
    if (count == 0 || count % WARP != 0 || count > 1024 || shared > SHARED || grid_x == 0 || grid_y == 0) return 2;
    entry = found->second;
    emulation::arguments = arguments;
    gridDim = {grid_x, grid_y, 1};
    blockDim = {count, 1, 1};
    threads.resize(count);
    stacks.resize(count * STACK);
    exchanged.resize(count);
    for (unsigned y = 0; y < grid_y; y++)
        for (unsigned x = 0; x < grid_x; x++) {
            blockIdx = {x, y, 0};
            if (!run_block(backwards)) return 3;
        }
    return 0;
}

#include "adamw.cu"
#include "attention.cu"
#include "decoding.cu"
#include "draw.cu"
#include "rms_norm.cu"
#include "rotary.cu"
#include "swiglu.cu"
#include "token_stats.cu"
