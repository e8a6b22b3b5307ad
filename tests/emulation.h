// CUDA's programming model on a processor, enough of it to run the kernels of minitorch/kernels/cuda unchanged.
//
// The threads of a block are fibers that take turns: each runs until it waits for the others (__syncthreads, a shuffle) and goes
// on when all of them have come. What a GPU would leave undefined is an error here: threads of a block that wait at different
// places, or return while others wait; shuffles of an incomplete warp. Shared memory is filled with NaNs for each block, and
// what lies behind it is checked. emulated_cuda.py compiles a kernel behind this file and calls it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#define EMULATED 1
#define __global__
#define __device__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__
#define __syncthreads() emulation::wait(emulation::BLOCK, __LINE__)
#define __shfl_xor_sync(mask, x, apart) emulation::shuffle(mask, x, emulation::lane() ^ (apart), __LINE__)

struct dim3 { unsigned x = 1, y = 1, z = 1; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned x) { float y; memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; memcpy(&y, &x, 4); return y; }
inline float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline float atomicAdd(float* at, float x) { float before = *at; *at += x; return before; }
inline int min(int a, int b) { return a < b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline float from_half(unsigned short bits) { _Float16 x; memcpy(&x, &bits, 2); return (float)x; }
inline unsigned short to_half(float x) { _Float16 y = (_Float16)x; unsigned short bits; memcpy(&bits, &y, 2); return bits; }

namespace emulation {

enum State { RUNS, BLOCK, WARP, DONE };

struct Fiber {
    void* stack = nullptr;
    void* sp = nullptr;  // x86: the stack pointer where it left off
    ucontext_t context;  // elsewhere
    State state = DONE;
    int line = 0, shuffles = 0;
    unsigned slot[2];  // what it offers to its warp; two, since a fast thread may be one shuffle ahead of a slow one
};

const size_t STACK = 256 << 10;
static std::vector<Fiber> fibers;
static Fiber* now;
static void* main_sp;
static ucontext_t main_context;
static std::function<void()> body;
static char message[256];

static const size_t GUARD = 64;
static std::map<const void*, std::pair<char*, size_t>> places;  // shared arrays, by where they are declared
static std::pair<char*, size_t> room;                          // dynamic shared memory

#ifdef __x86_64__
extern "C" __attribute__((visibility("hidden"))) void emulation_switch(void** save, void* to);
asm(".text\nemulation_switch:\n"
    "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; mov %rsp, (%rdi)\n"
    "mov %rsi, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret\n");
static void leave() { emulation_switch(&now->sp, main_sp); }
static void enter(Fiber& f) { emulation_switch(&main_sp, f.sp); }
#else
static void leave() { swapcontext(&now->context, &main_context); }
static void enter(Fiber& f) { swapcontext(&main_context, &f.context); }
#endif

static void start() {
    body();
    now->state = DONE;
    for (;;) leave();
}

static void prepare(Fiber& f) {
    if (!f.stack) f.stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#ifdef __x86_64__
    void** top = (void**)((char*)f.stack + STACK - 64);
    *top = (void*)start;  // where `ret` goes; six registers below it
    f.sp = top - 6;
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = STACK;
    makecontext(&f.context, start, 0);
#endif
    f.state = RUNS;
    f.shuffles = 0;
}

static void wait(State what, int line) {
    now->state = what;
    now->line = line;
    leave();
}

static int lane() { return threadIdx.x % 32; }

template <typename X> X shuffle(unsigned mask, X x, int source, int line) {
    static_assert(sizeof(X) == 4, "a register has 4 bytes");
    if (mask != 0xffffffffu) snprintf(message, sizeof message, "line %d: a shuffle of a part of a warp", line);
    int turn = now->shuffles++ % 2, base = threadIdx.x / 32 * 32;
    memcpy(&now->slot[turn], &x, 4);
    wait(WARP, line);
    memcpy(&x, &fibers[base + source].slot[turn], 4);
    return x;
}

static void fill(std::pair<char*, size_t>& memory) { memset(memory.first, 0xff, memory.second + GUARD); }

// Sanitizers watch what malloc gave, so there the guard lies behind and is never touched by a right kernel either.
static char* allocate(size_t bytes) { return (char*)malloc(bytes + GUARD); }

static void* shared(const void* where, size_t bytes) {
    auto found = places.find(where);
    if (found == places.end()) {
        found = places.insert({where, {allocate(bytes), bytes}}).first;
        fill(found->second);
    }
    return found->second.first;
}

static void* dynamic() { return room.first; }

static bool untouched(const std::pair<char*, size_t>& memory) {
    for (size_t i = 0; i < GUARD; i++) if (memory.first[memory.second + i] != (char)0xff) return false;
    return true;
}

// May the fibers first ... first+count-1, all or some of which wait for `what`, go on?  They may if all have come to one line.
static bool release(State what, size_t first, size_t count) {
    size_t waiting = 0, gone = 0;
    for (size_t i = first; i < first + count; i++) {
        waiting += fibers[i].state == what;
        gone += fibers[i].state == DONE;
    }
    if (waiting == 0 || waiting + gone < count) return false;
    for (size_t i = first; i < first + count; i++) {
        if (gone) snprintf(message, sizeof message, "some threads wait for others that have returned");
        else if (fibers[i].line != fibers[first].line)
            snprintf(message, sizeof message, "threads wait at different places: lines %d and %d", fibers[i].line, fibers[first].line);
    }
    if (!message[0]) for (size_t i = first; i < first + count; i++) fibers[i].state = RUNS;
    return true;
}

static void run_block(size_t threads, bool backwards) {
    for (auto& place : places) fill(place.second);
    fill(room);
    for (size_t i = 0; i < threads; i++) prepare(fibers[i]);
    for (bool progress = true; progress && !message[0];) {
        progress = false;
        for (size_t n = 0; n < threads; n++) {
            size_t i = backwards ? threads - 1 - n : n;
            if (fibers[i].state != RUNS) continue;
            now = &fibers[i];
            threadIdx.x = (unsigned)i;
            enter(fibers[i]);
            progress = true;
        }
        for (size_t w = 0; w < threads; w += 32) progress |= release(WARP, w, 32);
        progress |= release(BLOCK, 0, threads);
    }
    for (size_t i = 0; i < threads && !message[0]; i++)
        if (fibers[i].state != DONE) snprintf(message, sizeof message, "line %d: threads wait for ever", fibers[i].line);
    for (auto& place : places)
        if (!untouched(place.second)) snprintf(message, sizeof message, "something wrote behind a shared array");
    if (!untouched(room)) snprintf(message, sizeof message, "something wrote behind the dynamic shared memory");
}

static const char* launch(const unsigned* grid, unsigned threads, size_t bytes, bool backwards, std::function<void()> kernel) {
    message[0] = 0;
    if (threads % 32 || threads == 0 || threads > 1024) return "the number of threads must be a multiple of 32, at most 1024";
    if (fibers.size() < threads) fibers.resize(threads);
    free(room.first);
    room = {allocate(bytes), bytes};
    body = kernel;
    blockDim = {threads, 1, 1};
    gridDim = {grid[0], grid[1], grid[2]};
    for (unsigned z = 0; z < grid[2]; z++) for (unsigned y = 0; y < grid[1]; y++) for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        run_block(threads, backwards);
        if (message[0]) return message;
    }
    return nullptr;
}

}  // namespace emulation
