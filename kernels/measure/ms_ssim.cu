#include "measure/ssim.cuh"

#define FACTS                                                                                                      \
    double *__restrict__ parts, int start, int height, int width, float scale, float unbiased, int reach, float w0, \
        float w1, float w2, float w3, float w4, float w5
#define GIVEN parts, start, height, width, scale, unbiased, reach, w0, w1, w2, w3, w4, w5

extern "C" __global__ void similar(const SAMPLE* __restrict__ a, const SAMPLE* __restrict__ b, FACTS) {
    similar_body(a, b, GIVEN);
}

extern "C" __global__ void similar_again(const float* __restrict__ a, const float* __restrict__ b, FACTS) {
    similar_body(a, b, GIVEN);
}

// Means of 2x2 samples, times 4 * scale; one thread each.
template <class T>
__device__ inline void halve_body(const T* __restrict__ src, float* __restrict__ out, int start, int height, int width,
                                  int rows, int columns, float scale) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= columns) return;
    const T* p = src + ((size_t)(start + n) * height + 2 * y) * width + 2 * x;
    const size_t down = 2 * y + 1 < height ? width : 0;
    const int right = 2 * x + 1 < width ? 1 : 0;
    const float sum = (float)p[0] + (float)p[right] + (float)p[down] + (float)p[down + right];
    out[((size_t)n * rows + y) * columns + x] = sum * scale;
}

extern "C" __global__ void halve(const SAMPLE* __restrict__ src, float* __restrict__ out, int start, int height,
                                 int width, int rows, int columns, float scale) {
    halve_body(src, out, start, height, width, rows, columns, scale);
}

extern "C" __global__ void halve_again(const float* __restrict__ src, float* __restrict__ out, int start, int height,
                                       int width, int rows, int columns, float scale) {
    halve_body(src, out, start, height, width, rows, columns, scale);
}

// The mean of one size to the power of its weight; `which` is 0 for SSIM, 1 for contrast and structure.
__device__ inline double factor(const double* __restrict__ parts, int n, int blocks, double share, double weight,
                                int which) {
    double total = 0.0;
    for (int k = 0; k < blocks; ++k) total += parts[2 * ((size_t)n * blocks + k) + which];
    total *= share;
    return total > 0.0 ? pow(total, weight) : 0.0;
}

// One thread per frame.
extern "C" __global__ void product(double* __restrict__ out, int count, const double* __restrict__ p0, int b0, double s0,
                                   double w0, const double* __restrict__ p1, int b1, double s1, double w1,
                                   const double* __restrict__ p2, int b2, double s2, double w2,
                                   const double* __restrict__ p3, int b3, double s3, double w3,
                                   const double* __restrict__ p4, int b4, double s4, double w4) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    out[n] = factor(p0, n, b0, s0, w0, 1) * factor(p1, n, b1, s1, w1, 1) * factor(p2, n, b2, s2, w2, 1) *
             factor(p3, n, b3, s3, w3, 1) * factor(p4, n, b4, s4, w4, 0);
}
