// SSIM of the windows of a frame, summed block by block.
#pragma once
#define THREADS 128
#include "common.cuh"
#include "measure/sums.cuh"

#define SPAN 32
#define ROWS 11
#define C1 (0.01f * 255 * 0.01f * 255)
#define C2 (0.03f * 255 * 0.03f * 255)

// Of the sum s and the difference d of two samples (see ssim.py).
struct Moments {
    float s, d, ss, dd;
};

__device__ inline void add(Moments& to, float w, const Moments& m) {
    to.s += w * m.s, to.d += w * m.d, to.ss += w * m.ss, to.dd += w * m.dd;
}

// A thread walks down one column of windows; it keeps the last rows' sums along the line in shared memory.
// w0..w5 are the window's weights from the middle outwards, reach + 1 its width.
// `parts` takes, of each block, the sum of SSIM and that of its factor for contrast and structure.
template <class T>
__device__ inline void similar_body(const T* __restrict__ a, const T* __restrict__ b, double* __restrict__ parts,
                                    int start, int height, int width, float scale, float unbiased, int reach, float w0,
                                    float w1, float w2, float w3, float w4, float w5) {
    __shared__ float ring[4][ROWS][THREADS];
    __shared__ double shared[THREADS];
    const int lane = threadIdx.x, x = blockIdx.x * THREADS + lane;
    const int rows = height - reach, columns = width - reach, half = reach / 2;
    const float w[6] = {w0, w1, w2, w3, w4, w5};
    const int top = blockIdx.y * SPAN, end = (top + SPAN < rows ? top + SPAN : rows) + reach;
    double mine = 0.0, structures = 0.0;
    if (x < columns) {
        const size_t frame = (size_t)(start + blockIdx.z) * height * width;
        const size_t corner = frame + (size_t)top * width + x;
        const float centre_s = ((float)a[corner] + (float)b[corner]) * scale;
        const float centre_d = ((float)a[corner] - (float)b[corner]) * scale;
        int slot = 0;
        for (int y = top; y < end; ++y) {
            const T *p = a + frame + (size_t)y * width + x, *q = b + frame + (size_t)y * width + x;
            Moments row = {0, 0, 0, 0};
            for (int k = 0; k <= reach; ++k) {
                const float x_k = (float)p[k], y_k = (float)q[k];
                const float s = (x_k + y_k) * scale - centre_s, d = (x_k - y_k) * scale - centre_d;
                const Moments m = {s, d, s * s, d * d};
                add(row, w[k < half ? half - k : k - half], m);
            }
            ring[0][slot][lane] = row.s, ring[1][slot][lane] = row.d;
            ring[2][slot][lane] = row.ss, ring[3][slot][lane] = row.dd;
            slot = slot == reach ? 0 : slot + 1;
            if (y < top + reach) continue;
            Moments s = {0, 0, 0, 0};
            int at = slot;  // the oldest row
            for (int k = 0; k <= reach; ++k) {
                const Moments m = {ring[0][at][lane], ring[1][at][lane], ring[2][at][lane], ring[3][at][lane]};
                add(s, w[k < half ? half - k : k - half], m);
                at = at == reach ? 0 : at + 1;
            }
            const float mean_s = s.s + centre_s, mean_d = s.d + centre_d, dd = mean_d * mean_d;
            const float var_d = unbiased * (s.dd - s.d * s.d);
            const float variances = 0.5f * (unbiased * (s.ss - s.s * s.s) + var_d) + C2;
            const float means = 0.5f * (mean_s * mean_s + dd) + C1;
            const float structure = (variances - var_d) / variances;
            mine += (means - dd) / means * structure;
            structures += structure;
        }
    }
    mine = block_sum(mine, shared);
    __syncthreads();
    structures = block_sum(structures, shared);
    if (lane > 0) return;
    double* to = parts + 2 * (((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
    to[0] = mine, to[1] = structures;
}
