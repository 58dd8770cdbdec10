#include "measure/ssim.cuh"

extern "C" __global__ void similar(const SAMPLE* __restrict__ a, const SAMPLE* __restrict__ b,
                                   double* __restrict__ parts, int start, int height, int width, float scale,
                                   float unbiased, int reach, float w0, float w1, float w2, float w3, float w4,
                                   float w5) {
    similar_body(a, b, parts, start, height, width, scale, unbiased, reach, w0, w1, w2, w3, w4, w5);
}

// One thread per frame.
extern "C" __global__ void mean(const double* __restrict__ parts, double* __restrict__ out, int count, int blocks,
                                double samples) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    double total = 0.0;
    for (int k = 0; k < blocks; ++k) total += parts[2 * ((size_t)n * blocks + k)];
    out[n] = total / samples;
}
