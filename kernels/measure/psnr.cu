#include "common.cuh"
#include "measure/sums.cuh"

#define BLOCKS 64
// Squares of 16-bit differences over a whole frame stay exact in 64 bits.
#if SAMPLE_IS_FLOAT
typedef double sum_t;
#else
typedef unsigned long long sum_t;
#endif

// blockIdx.y is the frame; its BLOCKS blocks take every BLOCKS-th run of THREADS samples.
extern "C" __global__ void sum_squares(const SAMPLE* __restrict__ a, const SAMPLE* __restrict__ b,
                                       double* __restrict__ parts, int start, long long size) {
    __shared__ sum_t shared[THREADS];
    const size_t frame = (size_t)(start + blockIdx.y) * size;
    sum_t mine = 0;
    for (long long i = (long long)blockIdx.x * THREADS + threadIdx.x; i < size; i += (long long)gridDim.x * THREADS) {
#if SAMPLE_IS_FLOAT
        const double d = (double)a[frame + i] - (double)b[frame + i];
        mine += d * d;
#else
        const long long d = (int)a[frame + i] - (int)b[frame + i];
        mine += (sum_t)(d * d);
#endif
    }
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = (double)mine;
}

// One thread per frame; `peak` 0 leaves the mean squared error, else it becomes decibels.
extern "C" __global__ void mean(const double* __restrict__ parts, double* __restrict__ out, int count, long long size,
                                double peak) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    double total = 0.0;
    for (int k = 0; k < BLOCKS; ++k) total += parts[n * BLOCKS + k];
    total /= (double)size;
    out[n] = peak == 0.0 ? total : 10.0 * log10(peak * peak / total);
}
