#include "common.cuh"
#include "motion/phases.cuh"

// Four phases of each padded frame, then one thread per output sample: the four blocks that it lies in.
constexpr int NONE = 32767;

extern "C" __global__ void mean(const SAMPLE* __restrict__ planes, const short* __restrict__ motion,
                                SAMPLE* __restrict__ out, const float* __restrict__ shape, int start, int begin,
                                int stop, int height, int width, int rows, int columns, int radius, int high, int wide,
                                int down, int across, float part, float peak, float rounding) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = start + blockIdx.z;
    if (x >= width) return;
    const int stride = width + 4 * wide;
    const size_t area = (size_t)(height + 4 * high) * stride;
    float result = 0.0f;
    for (int k = 0; k < 4; ++k) {
        const int i = y / (high / 2) + k / 2, j = x / (wide / 2) + k % 2;
        const int dy = y - (i - 1) * (high / 2), dx = x - (j - 1) * (wide / 2);  // within the block
        const int oy = 2 * high + (i - 1) * (high / 2), ox = 2 * wide + (j - 1) * (wide / 2);
        float sums = (float)planes[4 * area * (t - begin) + (size_t)(oy + dy) * stride + ox + dx], weights = 1.0f;
        for (int slot = 0; slot < 2 * radius; ++slot) {
            const int d = slot / 2 + 1, other = t + (slot % 2 ? d : -d);
            const short* v = motion + ((((size_t)t * 2 * radius + slot) * rows + i) * columns + j) * 3;
            const float e = (float)v[2] * part;
            if (other < begin || other >= stop || v[2] == NONE || v[2] < 0 || e >= 1.0f) continue;
            const int vy = clampi(2 * oy + ((v[0] + ((1 << down) >> 1)) >> down), 0, 2 * (height + 3 * high) + 1);
            const int vx = clampi(2 * ox + ((v[1] + ((1 << across) >> 1)) >> across), 0, 2 * (width + 3 * wide) + 1);
            const float rest = 1.0f - e * e, w = rest * rest;
            const size_t plane = 4 * area * (other - begin) + ((vy & 1) * 2 + (vx & 1)) * area;
            sums += w * (float)planes[plane + (size_t)((vy >> 1) + dy) * stride + (vx >> 1) + dx];
            weights += w;
        }
        result += shape[dy * wide + dx] * (sums / weights);
    }
    const float v = result + rounding;
#if SAMPLE_IS_FLOAT
    out[((size_t)blockIdx.z * height + y) * width + x] = v;
#else
    out[((size_t)blockIdx.z * height + y) * width + x] = (SAMPLE)fminf(fmaxf(v, 0.0f), peak);
#endif
}
