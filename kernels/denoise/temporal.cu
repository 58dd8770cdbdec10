#include "common.cuh"

// One thread per sample; a block of 32 x 8 stages the differences of its samples and a border of two.
extern "C" __global__ void temporal(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int count,
                                    int height, int width, int radius, float single, float shut, float slope) {
    __shared__ wide apart[12][36];
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y, t = start + blockIdx.z;
    const size_t size = (size_t)height * width;
    const SAMPLE* now = frames + t * size;
    const bool inside = x < width && y < height;
    const float here = inside ? (float)now[(size_t)y * width + x] : 0.0f;
    float total = here * 32.0f, weight = 32.0f;
    for (int k = t - radius; k <= t + radius; ++k) {
        if (k == t || k < 0 || k >= count) continue;  // the same for the whole block
        const SAMPLE* other = frames + k * size;
        for (int i = threadIdx.y * 32 + threadIdx.x; i < 12 * 36; i += 256) {
            const int row = clampi(blockIdx.y * 8 + i / 36 - 2, 0, height - 1);
            const int column = clampi(blockIdx.x * 32 + i % 36 - 2, 0, width - 1);
            const wide d = (wide)now[(size_t)row * width + column] - (wide)other[(size_t)row * width + column];
            apart[i / 36][i % 36] = d < 0 ? -d : d;
        }
        __syncthreads();
        wide around = 0;
        for (int row = 0; row < 5; ++row)
            for (int column = 0; column < 5; ++column) around += apart[threadIdx.y + row][threadIdx.x + column];
        float share = fminf(fmaxf((shut - (float)around) * slope, 0.0f), 32.0f);
#if !SAMPLE_IS_FLOAT
        share = floorf(share);
#endif
        if ((float)apart[threadIdx.y + 2][threadIdx.x + 2] > single) share = 0.0f;
        if (inside) {
            total += share * (float)other[(size_t)y * width + x];
            weight += share;
        }
        __syncthreads();
    }
    if (!inside) return;
#if SAMPLE_IS_FLOAT
    out[((size_t)blockIdx.z * height + y) * width + x] = total / weight;
#else
    out[((size_t)blockIdx.z * height + y) * width + x] = (SAMPLE)(total / weight + 0.5f);
#endif
}
