#include "common.cuh"

// One thread per sample; the five lines come from the cache.
extern "C" __global__ void soften_lines(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start,
                                        int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    const SAMPLE* column = frames + (size_t)(start + blockIdx.z) * height * width + x;
    wide v[5];
    for (int k = 0; k < 5; ++k) v[k] = column[(size_t)clampi(y + k - 2, 0, height - 1) * width];
    const wide total = v[0] + v[4] + 4 * (v[1] + v[3]) + 6 * v[2];
#if SAMPLE_IS_FLOAT
    const wide mean = total * (1.0f / 16.0f);
#else
    const wide mean = (total + 8) >> 4;
#endif
    out[((size_t)blockIdx.z * height + y) * width + x] = (SAMPLE)mean;
}
