#include "common.cuh"
#include "measure/sums.cuh"

#define BLOCKS 32

// One thread takes every so many-th square of a frame and sums the squares of its change; blockIdx.y is the frame.
extern "C" __global__ void square_changes(const SAMPLE* __restrict__ a, const SAMPLE* __restrict__ b,
                                          double* __restrict__ parts, int start, int height, int width, int block) {
    __shared__ double shared[THREADS];
    const int t = start + blockIdx.y;
    const int columns = (width + block - 1) / block, rows = (height + block - 1) / block;
    const size_t now = (size_t)t * height * width, then = now - (t > 0 ? (size_t)height * width : 0);
    double mine = 0.0;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < rows * columns; i += gridDim.x * THREADS) {
        const int y0 = i / columns * block, x0 = i % columns * block;
        const int y1 = y0 + block < height ? y0 + block : height, x1 = x0 + block < width ? x0 + block : width;
        double d = 0.0, before = 0.0;
        for (int y = y0; y < y1; ++y)
            for (int x = x0; x < x1; ++x) {
                const size_t at = (size_t)y * width + x;
                d += (double)a[now + at] - (double)b[now + at];
                before += (double)a[then + at] - (double)b[then + at];
            }
        const double change = (d - before) / ((double)(y1 - y0) * (x1 - x0));
        mine += change * change;
    }
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = mine;
}

// One thread per frame; the clip's first frame has no frame before it.
extern "C" __global__ void root_mean(const double* __restrict__ parts, double* __restrict__ out, int count, int start,
                                     int height, int width, int block, double unit) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    double total = 0.0;
    for (int k = 0; k < BLOCKS; ++k) total += parts[n * BLOCKS + k];
    const double squares = (double)((height + block - 1) / block) * ((width + block - 1) / block);
    out[n] = start + n == 0 ? nan("") : sqrt(total / squares) / unit;
}
