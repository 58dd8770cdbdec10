#include "common.cuh"

// One thread per target column, walking down STRIP target rows (see resize.py).
#define STRIP 32
#define RING 48
#define THREADS 128

// The target sample of column x in source row y, before the vertical sum.  Rows and columns beyond the edge repeat it.
__device__ inline float across(const SAMPLE* __restrict__ src, int y, int height, int width, int first,
                               const float* __restrict__ weights, int count) {
    const SAMPLE* row = src + (size_t)clampi(y, 0, height - 1) * width;
    float total = 0.0f;
    if (first >= 0 && first + count <= width) {
        for (int k = 0; k < count; ++k) total += weights[k] * (float)row[first + k];
    } else {
        for (int k = 0; k < count; ++k) total += weights[k] * (float)row[clampi(first + k, 0, width - 1)];
    }
    return total;
}

__device__ inline SAMPLE rounded(float v, int peak) {
#if SAMPLE_IS_FLOAT
    return v;
#else
    v += 0.5f;
    return (SAMPLE)(v < 0.0f ? 0.0f : (v > (float)peak ? (float)peak : v));
#endif
}

// Every thread keeps the rows of its own column in shared memory, so no barrier is needed.
extern "C" __global__ void resize(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int height,
                                  int width, int rows, int columns, const int* __restrict__ x_first,
                                  const float* __restrict__ x_weights, const int* __restrict__ y_first,
                                  const float* __restrict__ y_weights, int x_count, int y_count, int peak) {
    __shared__ float ring[RING][THREADS];
    const int lane = threadIdx.x, x = blockIdx.x * THREADS + lane, n = blockIdx.z;
    if (x >= columns) return;
    const SAMPLE* src = frames + (size_t)(start + n) * height * width;
    const float* wx = x_weights + (size_t)x * x_count;
    const int end = blockIdx.y * STRIP + STRIP < rows ? blockIdx.y * STRIP + STRIP : rows;
    int next = y_first[blockIdx.y * STRIP], slot = 0;  // the next row to make and where it goes
    for (int y = blockIdx.y * STRIP; y < end; ++y) {
        const int first = y_first[y];
        if (next < first) next = first;
        for (; next < first + y_count; ++next) {
            ring[slot][lane] = across(src, next, height, width, x_first[x], wx, x_count);
            slot = slot + 1 == y_count ? 0 : slot + 1;
        }
        float total = 0.0f;
        int at = slot;  // the oldest row
        for (int k = 0; k < y_count; ++k) {
            total += y_weights[(size_t)y * y_count + k] * ring[at][lane];
            at = at + 1 == y_count ? 0 : at + 1;
        }
        out[((size_t)n * rows + y) * columns + x] = rounded(total, peak);
    }
}

// Strong shrinking, where a column's rows do not fit into shared memory: rows are hardly shared between samples then.
extern "C" __global__ void resize_far(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start,
                                      int height, int width, int rows, int columns, const int* __restrict__ x_first,
                                      const float* __restrict__ x_weights, const int* __restrict__ y_first,
                                      const float* __restrict__ y_weights, int x_count, int y_count, int peak) {
    const int x = blockIdx.x * THREADS + threadIdx.x, n = blockIdx.z;
    if (x >= columns) return;
    const SAMPLE* src = frames + (size_t)(start + n) * height * width;
    const int end = blockIdx.y * STRIP + STRIP < rows ? blockIdx.y * STRIP + STRIP : rows;
    for (int y = blockIdx.y * STRIP; y < end; ++y) {
        float total = 0.0f;
        for (int k = 0; k < y_count; ++k)
            total += y_weights[(size_t)y * y_count + k] *
                     across(src, y_first[y] + k, height, width, x_first[x], x_weights + (size_t)x * x_count, x_count);
        out[((size_t)n * rows + y) * columns + x] = rounded(total, peak);
    }
}
