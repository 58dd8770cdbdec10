#include "common.cuh"

// One thread per sample; lines from `good` on are the last good one, each weighted by its row of `weights`,
// `(lines, 2 * reach + 1)`.
extern "C" __global__ void cover(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out,
                                 const float* __restrict__ weights, int start, int height, int width, int good,
                                 int reach) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const SAMPLE* picture = frames + (size_t)(start + n) * height * width;
    SAMPLE* to = out + ((size_t)n * height + y) * width + x;
    if (y < good) {
        *to = picture[(size_t)y * width + x];
        return;
    }
    const SAMPLE* line = picture + (size_t)(good - 1) * width;
    const float* taps = weights + (size_t)(y - good) * (2 * reach + 1);
    float total = SAMPLE_IS_FLOAT ? 0.0f : 0.5f;
    for (int k = -reach; k <= reach; k++)
        if (taps[k + reach] > 0) total += taps[k + reach] * (float)line[clampi(x + k, 0, width - 1)];
    *to = (SAMPLE)total;
}
