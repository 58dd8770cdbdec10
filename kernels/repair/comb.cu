#include "common.cuh"

#define REACH 4  // samples on each side that are looked at together

__device__ inline wide distance(wide a, wide b) { return a > b ? a - b : b - a; }

__device__ inline wide larger(wide a, wide b) { return a > b ? a : b; }

// One thread per sample; d is after how many frames the carrier's phase is opposite.
extern "C" __global__ void frame_comb(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int total,
                                      int height, int width, int d, wide limit, wide least) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, t = start + blockIdx.z;
    if (x >= width) return;
    const size_t size = (size_t)height * width, row = (size_t)blockIdx.y * width;
    const SAMPLE* now = frames + t * size + row;
    SAMPLE* to = out + blockIdx.z * size + row + x;
    if (t < 2 * d || t + 2 * d >= total) {
        *to = now[x];
        return;
    }
    const SAMPLE* before = frames + (t - d) * size + row;
    const SAMPLE* after = frames + (t + d) * size + row;
    const SAMPLE* first = frames + (t - 2 * d) * size + row;
    const SAMPLE* last = frames + (t + 2 * d) * size + row;
    wide one = 0, other = 0, sides = 0, swing = 0;
    for (int k = -REACH; k <= REACH; ++k) {
        const int i = clampi(x + k, 0, width - 1);
        const wide v = now[i], a = before[i], c = after[i];
        one += distance(v, first[i]);
        other += distance(v, last[i]);
        sides += distance(a, c);
        swing += distance(a + c, v + v);
    }
    const wide moving = larger(larger(one, other), sides);
    if (moving > limit || 3 * moving > swing || swing < least) {
        *to = now[x];
        return;
    }
    const wide sum = (wide)before[x] + after[x] + 2 * (wide)now[x];
#if SAMPLE_IS_FLOAT
    *to = sum * 0.25f;
#else
    *to = (SAMPLE)((sum + 2) >> 2);
#endif
}
