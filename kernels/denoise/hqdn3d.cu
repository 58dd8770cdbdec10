#include "common.cuh"

// Three launches, one per axis: the recursion is serial along its own axis only. Between them the planes stay in
// `rows`, 16-bit fixed point.

#if SAMPLE_IS_FLOAT
__device__ inline int to_fixed(float v, int, int) { return (int)rintf(fminf(fmaxf(v * 256.0f, 0.0f), 65535.0f)); }
__device__ inline float from_fixed(int v, int) { return v * (1.0f / 256.0f); }
#else
// A sample above the peak would look past the table.
__device__ inline int to_fixed(int v, int shift, int middle) { return (min(v, (65536 >> shift) - 1) << shift) + middle; }
__device__ inline SAMPLE from_fixed(int v, int shift) { return (SAMPLE)(v >> shift); }
#endif

// What is kept of the step from `now` back to `held`.
__device__ inline int part(const int* __restrict__ table, int held, int now, int cut, int half) {
    return table[((held - now) >> cut) + half];
}

// Along x: a thread walks a row, a warp stages 32 x 32 samples of its 32 rows so that memory is read along rows.
extern "C" __global__ void across(const SAMPLE* __restrict__ frames, unsigned short* __restrict__ rows, int count,
                                  int width, const int* __restrict__ table, int half, int shift, int middle, int cut) {
    __shared__ int tile[4][32][33];
    int(*near)[33] = tile[threadIdx.y];
    const int first = (blockIdx.x * 4 + threadIdx.y) * 32, lane = threadIdx.x;
    int held = 0;
    for (int left = 0; left < width; left += 32) {
        const int x = left + lane;
        for (int k = 0; k < 32; ++k)
            if (x < width && first + k < count)
                near[k][lane] = to_fixed(frames[(size_t)(first + k) * width + x], shift, middle);
        __syncthreads();
        if (first + lane < count)
            for (int k = 0; k < 32 && left + k < width; ++k) {
                const int now = near[lane][k];
                held = left + k == 0 ? now : now + part(table, held, now, cut, half);
                near[lane][k] = held;
            }
        __syncthreads();
        for (int k = 0; k < 32; ++k)
            if (x < width && first + k < count) rows[(size_t)(first + k) * width + x] = (unsigned short)near[k][lane];
        __syncthreads();
    }
}

// Along y: a thread walks a column of one frame.
extern "C" __global__ void down(unsigned short* __restrict__ rows, int height, int width,
                                const int* __restrict__ table, int half, int cut) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    unsigned short* at = rows + (size_t)blockIdx.y * height * width + x;
    int held = *at;
    for (int y = 1; y < height; ++y) {
        at += width;
        const int now = *at;
        held = now + part(table, held, now, cut, half);
        *at = (unsigned short)held;
    }
}

// Along t: a thread walks one sample through the frames. `fresh` starts from the first frame unfiltered.
extern "C" __global__ void along(const SAMPLE* __restrict__ frames, const unsigned short* __restrict__ rows,
                                 unsigned short* __restrict__ state, SAMPLE* __restrict__ out, int frames_count,
                                 int size, int fresh, const int* __restrict__ table, int half, int shift, int middle,
                                 int cut) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int held = fresh ? to_fixed(frames[i], shift, middle) : state[i];
    for (int t = 0; t < frames_count; ++t) {
        const int now = rows[(size_t)t * size + i];
        held = now + part(table, held, now, cut, half);
        out[(size_t)t * size + i] = from_fixed(held, shift);
    }
    state[i] = (unsigned short)held;
}
