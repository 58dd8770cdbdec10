#include "common.cuh"

// A block of 128 threads is 128 columns of 8 rows; the outer `patch` columns each side only help with patch sums.
// For one offset after the other every thread walks down its column with the sum over the patch's rows, and these
// sums meet in shared memory, in two places in turn so that one barrier per offset is enough.
constexpr int COLUMNS = 128, ROWS = 8, PATCH = 4, SEARCH = 15;

__device__ inline int mirrored(int i, int n) {  // ... 1 0 | 0 1 2 ... n-1 | n-1 ...
    i %= 2 * n;
    if (i < 0) i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

extern "C" __global__ void nlmeans(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int count,
                                   int height, int width, int patch, int search, int radius, float free, float slope,
                                   float scale, float peak, float half) {
    __shared__ float here[ROWS + 2 * PATCH][COLUMNS];
    __shared__ float there[ROWS + 2 * PATCH + 2 * SEARCH][COLUMNS + 2 * SEARCH];
    __shared__ float sums[2][ROWS][COLUMNS];
    const int tid = threadIdx.x, t = start + blockIdx.z;
    const int x = blockIdx.x * (COLUMNS - 2 * patch) + tid - patch;  // this thread's column of the picture
    const int top = blockIdx.y * ROWS;
    const size_t size = (size_t)height * width;
    const bool inner = tid >= patch && tid < COLUMNS - patch && x < width;
    float total[ROWS], weight[ROWS];
    int turn = 0;
    for (int j = 0; j < ROWS + 2 * patch; ++j)
        here[j][tid] = (float)frames[t * size + (size_t)mirrored(top + j - patch, height) * width + mirrored(x, width)] * scale;
    for (int r = 0; r < ROWS; ++r) {
        total[r] = here[r + patch][tid];
        weight[r] = 1.0f;
    }
    for (int k = t - radius; k <= t + radius; ++k) {
        if (k < 0 || k >= count) continue;  // the same for the whole block
        __syncthreads();
        for (int j = 0; j < ROWS + 2 * patch + 2 * search; ++j) {
            const size_t row = k * size + (size_t)mirrored(top + j - patch - search, height) * width;
            for (int i = tid; i < COLUMNS + 2 * search; i += COLUMNS)
                there[j][i] = (float)frames[row + mirrored(x - tid + i - search, width)] * scale;
        }
        __syncthreads();
        for (int dy = -search; dy <= search; ++dy)
            for (int dx = -search; dx <= search; ++dx) {
                if (k == t && dy == 0 && dx == 0) continue;
                const int column = tid + dx + search;
                float(*shared)[COLUMNS] = sums[turn];
                turn ^= 1;
                float sum = 0.0f;
                for (int j = 0; j < 2 * patch; ++j) {
                    const float d = here[j][tid] - there[j + dy + search][column];
                    sum += d * d;
                }
                for (int r = 0; r < ROWS; ++r) {
                    const float d = here[r + 2 * patch][tid] - there[r + 2 * patch + dy + search][column];
                    sum += d * d;
                    shared[r][tid] = sum;
                    const float old = here[r][tid] - there[r + dy + search][column];
                    sum -= old * old;
                }
                __syncthreads();
                if (!inner || x + dx < 0 || x + dx >= width) continue;
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (top + r + dy < 0 || top + r + dy >= height) continue;
                    float distance = 0.0f;
                    for (int i = -patch; i <= patch; ++i) distance += shared[r][tid + i];
                    const float w = exp2f(fminf((free - distance) * slope, 0.0f));
                    total[r] += w * there[r + patch + dy + search][column];
                    weight[r] += w;
                }
            }
    }
    if (!inner) return;
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
        if (top + r < height) {
            const float v = total[r] / (weight[r] * scale) + half;
#if SAMPLE_IS_FLOAT
            out[(blockIdx.z * (size_t)height + top + r) * width + x] = v;
#else
            out[(blockIdx.z * (size_t)height + top + r) * width + x] = (SAMPLE)fminf(fmaxf(v, 0.0f), peak);
#endif
        }
}
