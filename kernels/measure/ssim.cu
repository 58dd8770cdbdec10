#define THREADS 128
#include "common.cuh"
#include "measure/sums.cuh"

#define SPAN 32
#define ROWS 11
#define CENTRE 128.0f
#define C1 (0.01f * 255 * 0.01f * 255)
#define C2 (0.03f * 255 * 0.03f * 255)

struct Moments {
    float x, y, square, product;
};

__device__ inline void add(Moments& to, float w, const Moments& m) {
    to.x += w * m.x, to.y += w * m.y, to.square += w * m.square, to.product += w * m.product;
}

// A thread walks down one column of windows; it keeps the last rows' sums along the line in shared memory.
// w0..w5 are the window's weights from the middle outwards, reach + 1 its width.
extern "C" __global__ void similar(const SAMPLE* __restrict__ a, const SAMPLE* __restrict__ b,
                                   double* __restrict__ parts, int start, int height, int width, float scale,
                                   float unbiased, int reach, float w0, float w1, float w2, float w3, float w4,
                                   float w5) {
    __shared__ float ring[4][ROWS][THREADS];
    __shared__ double shared[THREADS];
    const int lane = threadIdx.x, x = blockIdx.x * THREADS + lane;
    const int rows = height - reach, columns = width - reach, half = reach / 2;
    const float w[6] = {w0, w1, w2, w3, w4, w5};
    const int top = blockIdx.y * SPAN, end = (top + SPAN < rows ? top + SPAN : rows) + reach;
    double mine = 0.0;
    if (x < columns) {
        const size_t frame = (size_t)(start + blockIdx.z) * height * width;
        int slot = 0;
        for (int y = top; y < end; ++y) {
            const SAMPLE *p = a + frame + (size_t)y * width + x, *q = b + frame + (size_t)y * width + x;
            Moments row = {0, 0, 0, 0};
            for (int k = 0; k <= reach; ++k) {
                const float u = (float)p[k] * scale - CENTRE, v = (float)q[k] * scale - CENTRE;
                const Moments m = {u, v, __fadd_rn(__fmul_rn(u, u), __fmul_rn(v, v)), __fmul_rn(u, v)};
                add(row, w[k < half ? half - k : k - half], m);
            }
            ring[0][slot][lane] = row.x, ring[1][slot][lane] = row.y;
            ring[2][slot][lane] = row.square, ring[3][slot][lane] = row.product;
            slot = slot == reach ? 0 : slot + 1;
            if (y < top + reach) continue;
            Moments s = {0, 0, 0, 0};
            int at = slot;  // the oldest row
            for (int k = 0; k <= reach; ++k) {
                const Moments m = {ring[0][at][lane], ring[1][at][lane], ring[2][at][lane], ring[3][at][lane]};
                add(s, w[k < half ? half - k : k - half], m);
                at = at == reach ? 0 : at + 1;
            }
            // No fused multiply-add across products: equal frames must give exactly 1.
            const float xx_yy = __fadd_rn(__fmul_rn(s.x, s.x), __fmul_rn(s.y, s.y)), xy = __fmul_rn(s.x, s.y);
            const float variances = __fadd_rn(__fmul_rn(unbiased, s.square - xx_yy), C2);
            const float covariance = __fadd_rn(__fmul_rn(unbiased, 2.0f * (s.product - xy)), C2);
            const float mx = s.x + CENTRE, my = s.y + CENTRE;
            const float luma = __fadd_rn(__fadd_rn(__fmul_rn(mx, mx), __fmul_rn(my, my)), C1);
            mine += (__fadd_rn(2.0f * __fmul_rn(mx, my), C1) * covariance) / (luma * variances);
        }
    }
    mine = block_sum(mine, shared);
    if (lane == 0) parts[((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = mine;
}

// One thread per frame.
extern "C" __global__ void mean(const double* __restrict__ parts, double* __restrict__ out, int count, int blocks,
                                double samples) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    double total = 0.0;
    for (int k = 0; k < blocks; ++k) total += parts[(size_t)n * blocks + k];
    out[n] = total / samples;
}
