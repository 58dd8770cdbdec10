#include "common.cuh"

// One thread per output sample: x along the line, blockIdx.y the line, blockIdx.z the output frame.
extern "C" __global__ void bob(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int height,
                               int width, int first, int step, int cubic, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const int t = start + n / step;
    const int parity = step == 2 ? first ^ (n & 1) : first;
    const SAMPLE* src = frames + (size_t)t * height * width + x;
    SAMPLE* to = out + ((size_t)n * height + y) * width + x;
    if ((y & 1) == parity) {
        *to = src[(size_t)y * width];
        return;
    }
    const int last = (height - 1 - parity) / 2 * 2 + parity;
    const wide b = src[(size_t)(y - 1 < parity ? parity : y - 1) * width];
    const wide c = src[(size_t)(y + 1 > last ? last : y + 1) * width];
    if (!cubic) {
        *to = to_sample(half_sum(b, c), peak);
        return;
    }
    const wide a = src[(size_t)(y - 3 < parity ? parity : y - 3) * width];
    const wide d = src[(size_t)(y + 3 > last ? last : y + 3) * width];
    const wide v = 9 * (b + c) - (a + d);
#if SAMPLE_IS_FLOAT
    *to = v * (1.0f / 16.0f);
#else
    *to = to_sample((v + 8) >> 4, peak);
#endif
}
