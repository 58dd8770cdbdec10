#include "common.cuh"

// One thread per sample: `curve` for float, `look_up` for integers.
extern "C" __global__ void curve(const float* __restrict__ frames, float* __restrict__ out, int start, int height,
                                 int width, float at, float span, float low, float full, float power) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t here = ((size_t)blockIdx.z * height + blockIdx.y) * width + x;
    const float v = (frames[here + (size_t)start * height * width] - at) / span;
    out[here] = low + full * (v > 0.0f && power != 1.0f ? powf(v, power) : v);
}

extern "C" __global__ void look_up(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out,
                                   const SAMPLE* __restrict__ table, int start, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t here = ((size_t)blockIdx.z * height + blockIdx.y) * width + x;
    out[here] = table[(int)frames[here + (size_t)start * height * width]];
}
