#include "common.cuh"

// One thread per sample; lines from `good` on repeat the last good one.
extern "C" __global__ void cover(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int height,
                                 int width, int good) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const int row = y < good ? y : good - 1;
    out[((size_t)n * height + y) * width + x] = frames[((size_t)(start + n) * height + row) * width + x];
}
