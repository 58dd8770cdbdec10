#include "common.cuh"

__device__ inline SAMPLE lower(SAMPLE a, SAMPLE b) { return a < b ? a : b; }
__device__ inline SAMPLE upper(SAMPLE a, SAMPLE b) { return a < b ? b : a; }
__device__ inline SAMPLE middle3(SAMPLE a, SAMPLE b, SAMPLE c) { return upper(lower(a, b), lower(upper(a, b), c)); }
__device__ inline SAMPLE middle5(SAMPLE a, SAMPLE b, SAMPLE c, SAMPLE d, SAMPLE e) {
    return middle3(upper(lower(a, b), lower(c, d)), lower(upper(a, b), upper(c, d)), e);
}

// One thread per sample; neighbouring threads share their loads through the cache.
extern "C" __global__ void median(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int height,
                                  int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    const SAMPLE* plane = frames + (size_t)(start + blockIdx.z) * height * width;
    SAMPLE low[3], mid[3], high[3];
    for (int k = 0; k < 3; ++k) {
        const int column = clampi(x + k - 1, 0, width - 1);
        const SAMPLE a = plane[(size_t)(y > 0 ? y - 1 : 0) * width + column], b = plane[(size_t)y * width + column];
        const SAMPLE c = plane[(size_t)(y < height - 1 ? y + 1 : y) * width + column];
        low[k] = lower(lower(a, b), c);
        mid[k] = middle3(a, b, c);
        high[k] = upper(upper(a, b), c);
    }
    out[((size_t)blockIdx.z * height + y) * width + x] =
        middle3(upper(upper(low[0], low[1]), low[2]), middle3(mid[0], mid[1], mid[2]), lower(lower(high[0], high[1]), high[2]));
}

extern "C" __global__ void temporal_median(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start,
                                           int count, int size, int radius) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, t = start + blockIdx.y;
    if (i >= size) return;
    SAMPLE v[7];
    for (int k = 0; k < 7; ++k) v[k] = frames[(size_t)clampi(t + k - 3, 0, count - 1) * size + i];
    SAMPLE result;
    if (radius == 1) {
        result = middle3(v[2], v[3], v[4]);
    } else if (radius == 2) {
        result = middle5(v[1], v[2], v[4], v[5], v[3]);
    } else {
        const SAMPLE a = lower(v[0], v[1]), b = upper(v[0], v[1]), c = lower(v[2], v[3]), d = upper(v[2], v[3]);
        const SAMPLE e = lower(v[4], v[5]), f = upper(v[4], v[5]);
        result = middle5(upper(a, c), lower(b, d), upper(lower(a, c), e), lower(upper(b, d), f), v[6]);
    }
    out[(size_t)blockIdx.y * size + i] = result;
}
