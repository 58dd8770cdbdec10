// Runs CUDA C++ kernels on the CPU, one block at a time, so that they can be tested without a GPU.
// Every CUDA thread is a fibre (ucontext); __syncthreads() hands over to the next one, and the scheduler
// checks that either all or none of a block's living threads wait at a barrier.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
typedef uint3 dim3_t;
static uint3 threadIdx, blockIdx, blockDim, gridDim;
using std::max;
using std::min;
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T atomicAdd(T* p, T v) { T old = *p; *p += v; return old; }
static inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
#define __expf(a) std::exp(a)
static inline float __fdividef(float a, float b) { return a / b; }

namespace host {
static ucontext_t scheduler;
static std::vector<ucontext_t> fibres;
static std::vector<char> waiting, done;
static unsigned current;

template <class F> void run_block(unsigned threads, size_t stack_bytes, F body) {
    static std::vector<std::vector<char>> stacks;
    static F* job;
    job = &body;
    fibres.resize(threads);
    if (stacks.size() < threads) stacks.resize(threads);
    waiting.assign(threads, 0);
    done.assign(threads, 0);
    void (*entry)() = [] { (*job)(); done[current] = 1; };
    for (unsigned i = 0; i < threads; ++i) {
        if (stacks[i].size() < stack_bytes) stacks[i].resize(stack_bytes);
        getcontext(&fibres[i]);
        fibres[i].uc_stack.ss_sp = stacks[i].data();
        fibres[i].uc_stack.ss_size = stacks[i].size();
        fibres[i].uc_link = &scheduler;
        makecontext(&fibres[i], entry, 0);
    }
    for (;;) {
        unsigned left = 0, stopped = 0;
        for (unsigned i = 0; i < threads; ++i) {
            if (done[i]) continue;
            current = i;
            threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
            waiting[i] = 0;
            swapcontext(&scheduler, &fibres[i]);
            if (!done[i]) { ++left; stopped += waiting[i]; }
        }
        if (!left) return;
        unsigned finished = 0;
        for (unsigned i = 0; i < threads; ++i) finished += done[i];
        if (finished) {
            std::fprintf(stderr, "__syncthreads() reached by %u of %u threads\n", stopped, threads);
            std::abort();
        }
    }
}

template <class... A, size_t... I> void call(void (*f)(A...), void** args, std::index_sequence<I...>) {
    f(*static_cast<std::decay_t<A>*>(args[I])...);
}

template <class... A>
int launch(void (*f)(A...), const unsigned* grid, const unsigned* block, void** args, int count, const size_t* sizes) {
    const size_t wanted[] = {sizeof(A)..., 0};
    if (count != (int)sizeof...(A)) return -1;
    for (int i = 0; i < count; ++i) if (wanted[i] != sizes[i]) return i + 1;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (unsigned z = 0; z < grid[2]; ++z)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                run_block(block[0] * block[1] * block[2], 64 << 10,
                          [&] { call(f, args, std::index_sequence_for<A...>{}); });
            }
    return 0;
}
}  // namespace host

static inline void __syncthreads() {
    host::waiting[host::current] = 1;
    const unsigned me = host::current;
    swapcontext(&host::fibres[me], &host::scheduler);
    host::current = me;
}
