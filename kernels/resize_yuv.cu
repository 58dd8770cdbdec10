#include "colour.cu"

// The source's planes in the other matrix, as float and limited to what the samples can hold.
__device__ inline float held(float v, int peak) {
#if SAMPLE_IS_FLOAT
    return v;
#else
    return v < 0.0f ? 0.0f : (v > (float)peak ? (float)peak : v);
#endif
}

extern "C" __global__ void mix(const SAMPLE* __restrict__ y, const SAMPLE* __restrict__ u, const SAMPLE* __restrict__ v,
                               float* __restrict__ to_y, float* __restrict__ to_u, float* __restrict__ to_v, SIZES,
                               LAYOUT, CHANGE) {
    other_matrix<float, held>(y, u, v, to_y, to_u, to_v, GIVEN);
}

// One thread per sample of the result; gridDim.y is its height.  Samples beyond the edge repeat it.
extern "C" __global__ void along(const float* __restrict__ frames, float* __restrict__ out, int width, int columns,
                                 const int* __restrict__ first, const float* __restrict__ weights, int count) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= columns) return;
    const size_t row = (size_t)blockIdx.z * gridDim.y + blockIdx.y;
    const float* from = frames + row * width;
    float total = 0.0f;
    for (int k = 0; k < count; ++k)
        total += weights[(size_t)x * count + k] * from[clampi(first[x] + k, 0, width - 1)];
    out[row * columns + x] = total;
}

extern "C" __global__ void down(const float* __restrict__ frames, SAMPLE* __restrict__ out, int height, int columns,
                                const int* __restrict__ first, const float* __restrict__ weights, int count, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= columns) return;
    float total = 0.0f;
    for (int k = 0; k < count; ++k)
        total += weights[(size_t)y * count + k] *
                 frames[((size_t)n * height + clampi(first[y] + k, 0, height - 1)) * columns + x];
    out[((size_t)n * gridDim.y + y) * columns + x] = rounded(total, peak);
}
