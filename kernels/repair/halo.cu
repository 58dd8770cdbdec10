#include "common.cuh"

// One thread per sample. What lies beyond the ends of a line repeats the sample there, in every step.
__device__ inline size_t at_sample(int n, int height, int width) {
    return ((size_t)n * height + blockIdx.y) * width;
}

// The smallest and largest of the sample and the `reach` after it.
extern "C" __global__ void extremes(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ smallest,
                                    SAMPLE* __restrict__ largest, int start, int height, int width, int reach) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const SAMPLE* row = frames + at_sample(start + blockIdx.z, height, width);
    SAMPLE low = row[x], high = low;
    for (int k = 1; k <= reach; ++k) {
        const SAMPLE v = row[clampi(x + k, 0, width - 1)];
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    const size_t to = at_sample(blockIdx.z, height, width) + x;
    smallest[to] = low;
    largest[to] = high;
}

// The largest of the smallest and the smallest of the largest, of the sample and the `reach` before it.
extern "C" __global__ void open_close(const SAMPLE* __restrict__ smallest, const SAMPLE* __restrict__ largest,
                                      SAMPLE* __restrict__ opened, SAMPLE* __restrict__ closed, int height, int width,
                                      int reach) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t row = at_sample(blockIdx.z, height, width);
    SAMPLE high = smallest[row + x], low = largest[row + x];
    for (int k = 1; k <= reach; ++k) {
        const size_t from = row + clampi(x - k, 0, width - 1);
        high = smallest[from] > high ? smallest[from] : high;
        low = largest[from] < low ? largest[from] : low;
    }
    opened[row + x] = high;
    closed[row + x] = low;
}

__device__ inline wide least(wide a, wide b, wide c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

__device__ inline wide scaled(wide share, wide v, int half) {
#if SAMPLE_IS_FLOAT
    return share * v;
#else
    return (share * v + half) >> 8;
#endif
}

extern "C" __global__ void limit_rims(const SAMPLE* __restrict__ frames, const SAMPLE* __restrict__ opened,
                                      const SAMPLE* __restrict__ closed, SAMPLE* __restrict__ out, int start,
                                      int height, int width, int reach, wide limit, wide part, wide amount) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t row = at_sample(blockIdx.z, height, width);
    const SAMPLE* line = frames + at_sample(start + blockIdx.z, height, width);
    wide high = opened[row + x], low = closed[row + x], light = 0, dark = 0;
    for (int k = -2 * reach; k <= 2 * reach; ++k) {
        const int i = clampi(x + k, 0, width - 1);
        const wide v = line[i], top = opened[row + i], bottom = closed[row + i];
        high = top > high ? top : high;
        low = bottom < low ? bottom : low;
        light = v - top > light ? v - top : light;
        dark = bottom - v > dark ? bottom - v : dark;
    }
    const wide v = line[x], step = high - low, most = scaled(part, step, 0);
    if (step <= limit) {
        out[row + x] = line[x];
        return;
    }
    const wide up = least((wide)closed[row + x] - v, light, most), down = least(v - (wide)opened[row + x], dark, most);
    out[row + x] = (SAMPLE)(v + scaled(amount, up - down, 128));
}
