// Frames padded by repeating their edges, each followed by its three half-way planes.
#pragma once
#include "motion/planes.cuh"

extern "C" __global__ void prepare(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ planes, int begin,
                                   int height, int width, int above, int beside) {
    const int high = height + 2 * above, wide = width + 2 * beside;
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= wide) return;
    const size_t row = (size_t)(begin + n) * height + clampi(y - above, 0, height - 1);
    planes[((size_t)4 * n * high + y) * wide + x] = frames[row * width + clampi(x - beside, 0, width - 1)];
}

extern "C" __global__ void phase(SAMPLE* __restrict__ planes, int from, int to, int high, int wide, int across,
                                 int peak) {
    const size_t area = (size_t)high * wide, first = 4 * area * blockIdx.z;
    half_way(planes + first + from * area, planes + first + to * area, high, wide, across, peak);
}
