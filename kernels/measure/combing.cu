#include "common.cuh"
#include "measure/sums.cuh"

#define BLOCKS 64

__device__ inline wide low3(wide a, wide b, wide c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }
__device__ inline wide high3(wide a, wide b, wide c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

// The five samples from `p` on, added from left to right.
__device__ inline wide sum_line(const SAMPLE* p) {
    return (wide)p[0] + (wide)p[1] + (wide)p[2] + (wide)p[3] + (wide)p[4];
}

// blockIdx.y is the frame; a thread walks down a strip of one column and keeps the last five sums.
extern "C" __global__ void count_combed(const SAMPLE* __restrict__ frames, double* __restrict__ parts, int start,
                                        int height, int width, wide limit) {
    __shared__ int shared[THREADS];
    const SAMPLE* src = frames + (size_t)(start + blockIdx.y) * height * width;
    const int columns = width - 4, strips = (height - 4 + 31) / 32;
    int mine = 0;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < columns * strips; i += gridDim.x * THREADS) {
        const int x = i % columns, top = i / columns * 32;
        const int end = top + 32 < height - 4 ? top + 32 : height - 4;
        const SAMPLE* p = src + (size_t)top * width + x;
        wide a = sum_line(p), b = sum_line(p + width), c = sum_line(p + 2 * width), d = sum_line(p + 3 * width);
        for (int y = top; y < end; ++y) {
            const wide e = sum_line(src + (size_t)(y + 4) * width + x);
            const wide above = b > d ? b : d, below = b > d ? d : b;
            mine += low3(a, c, e) - above > limit || below - high3(a, c, e) > limit;
            a = b, b = c, c = d, d = e;
        }
    }
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = (double)mine;
}

// One thread per frame.
extern "C" __global__ void share(const double* __restrict__ parts, double* __restrict__ out, int count, int height,
                                 int width) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    double total = 0.0;
    for (int k = 0; k < BLOCKS; ++k) total += parts[n * BLOCKS + k];
    out[n] = total / ((double)(height - 4) * (width - 4));
}
