#include "common.cuh"

// `flags` and `runs` hold one byte per sample of the frames `first` .. first + gridDim.z:
// bits 0 and 1: lighter, darker than both neighbouring frames; 2 and 3: than the frame after; 4 and 5: than the one before.
typedef unsigned char byte;

#define BOX 2
#define NEAR_LINES 16
#define NEAR_SAMPLES 64
#define REACH 8

// One thread per sample: does it stand out from its own lines, and from the 5x5 samples there in the other frames?
extern "C" __global__ void stand_out(const SAMPLE* __restrict__ frames, byte* __restrict__ flags, int first, int count,
                                     int height, int width, int lines, wide limit, wide weak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = first + blockIdx.z;
    if (x >= width) return;
    const size_t size = (size_t)height * width, at = (size_t)y * width + x;
    byte* to = flags + blockIdx.z * size + at;
    *to = 0;
    if (height == 1) return;
    const SAMPLE* now = frames + t * size;
    const wide v = now[at];
    wide low[2], high[2];  // of the lines above and below
    for (int side = 0; side < 2; ++side) {
        bool any = false;
        for (int k = 1; k <= lines; ++k) {
            const int row = side ? y + k : y - k;
            if (row < 0 || row >= height) break;
            const wide w = now[(size_t)row * width + x];
            low[side] = any && low[side] < w ? low[side] : w;
            high[side] = any && high[side] > w ? high[side] : w;
            any = true;
        }
        if (!any) low[side] = high[side] = v;
    }
    if (y == 0) low[0] = low[1], high[0] = high[1];
    if (y == height - 1) low[1] = low[0], high[1] = high[0];
    const wide lighter = v - (low[0] > low[1] ? low[0] : low[1]), darker = (high[0] < high[1] ? high[0] : high[1]) - v;
    if (lighter <= weak && darker <= weak) return;
    int light = 0, dark = 0;  // bits: above weak against after and before, above limit against both
    for (int side = 0; side < 2; ++side) {
        const int u = side ? t - 1 : t + 1;
        if (u < 0 || u >= count) continue;
        const SAMPLE* other = frames + u * size;
        wide top = other[at], bottom = top;
        for (int j = -BOX; j <= BOX; ++j)
            for (int i = -BOX; i <= BOX; ++i) {
                const wide w = other[(size_t)clampi(y + j, 0, height - 1) * width + clampi(x + i, 0, width - 1)];
                top = w > top ? w : top;
                bottom = w < bottom ? w : bottom;
            }
        const wide up = v - top < lighter ? v - top : lighter, down = bottom - v < darker ? bottom - v : darker;
        light |= (up > weak) << side | (up > limit) << (2 + side);
        dark |= (down > weak) << side | (down > limit) << (2 + side);
    }
    *to = (byte)((light >> 2 == 3) | (dark >> 2 == 3) << 1 | (light & 1) << 2 | (dark & 1) << 3 |
                 (light >> 1 & 1) << 4 | (dark >> 1 & 1) << 5);
}

// Keeps the flags that have enough like them among the 2 half + 1 samples of the line around them.
extern "C" __global__ void keep_runs(const byte* __restrict__ flags, byte* __restrict__ runs, int height, int width,
                                     int half, int need, int need_weak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t line = ((size_t)blockIdx.z * height + blockIdx.y) * width;
    const int mine = flags[line + x];
    int kept = 0;
    if (mine) {
        int sums[6] = {0, 0, 0, 0, 0, 0};
        for (int i = x - half < 0 ? 0 : x - half; i <= x + half && i < width; ++i)
            for (int b = 0; b < 6; ++b) sums[b] += flags[line + i] >> b & 1;
        for (int b = 0; b < 6; ++b) kept |= (sums[b] >= (b < 2 ? need : need_weak)) << b;
    }
    runs[line + x] = (byte)(kept & mine);
}

extern "C" __global__ void blacken(SAMPLE* __restrict__ out, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x < width) out[((size_t)blockIdx.z * height + blockIdx.y) * width + x] = 0;
}

__device__ inline bool any_near(const byte* runs, int bit, int y, int x, int height, int width) {
    for (int j = y - NEAR_LINES < 0 ? 0 : y - NEAR_LINES; j <= y + NEAR_LINES && j < height; ++j)
        for (int i = x - NEAR_SAMPLES < 0 ? 0 : x - NEAR_SAMPLES; i <= x + NEAR_SAMPLES && i < width; ++i)
            if (runs[(size_t)j * width + i] >> bit & 1) return true;
    return false;
}

// Writes the peak around each streak that has no partner in both neighbouring frames. All write the same value.
extern "C" __global__ void mark_streaks(const byte* __restrict__ runs, SAMPLE* __restrict__ out, int first, int count,
                                        int height, int width, int start, int grow, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = start + blockIdx.z;
    if (x >= width || t == 0 || t == count - 1) return;
    const size_t size = (size_t)height * width;
    const byte* now = runs + (t - first) * size;
    const int mine = now[(size_t)y * width + x] & 3;
    bool streak = false;
    for (int sign = 0; sign < 2; ++sign)
        if (mine >> sign & 1)
            streak |= !(any_near(now - size, 2 + sign, y, x, height, width) &&
                        any_near(now + size, 4 + sign, y, x, height, width));
    if (!streak) return;
    SAMPLE* to = out + blockIdx.z * size;
    for (int j = y ? y - 1 : 0; j <= y + 1 && j < height; ++j)
        for (int i = x - grow < 0 ? 0 : x - grow; i <= x + grow && i < width; ++i) to[(size_t)j * width + i] = (SAMPLE)peak;
}

__device__ inline int good_line(const SAMPLE* marks, int y, int x, int step, int height, int width, wide half) {
    for (int k = 1; k <= REACH; ++k) {
        const int row = y + step * k;
        if (row < 0 || row >= height) return 0;
        if (!((wide)marks[(size_t)row * width + x] > half)) return k;
    }
    return 0;
}

__device__ inline wide middle(wide a, wide b) {
#if SAMPLE_IS_FLOAT
    return (a + b) * 0.5f;
#else
    return (a + b + 1) >> 1;
#endif
}

// One thread per sample.
extern "C" __global__ void heal(const SAMPLE* __restrict__ frames, const SAMPLE* __restrict__ marks,
                                SAMPLE* __restrict__ out, int start, int count, int height, int width, wide near,
                                wide half) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = start + blockIdx.z;
    if (x >= width) return;
    const size_t size = (size_t)height * width, at = (size_t)y * width + x, here = t * size + at;
    SAMPLE* to = out + blockIdx.z * size + at;
    *to = frames[here];
    if (!((wide)marks[here] > half)) return;
    const bool early = t > 0 && !((wide)marks[here - size] > half);
    const bool late = t + 1 < count && !((wide)marks[here + size] > half);
    const wide p = early ? (wide)frames[here - size] : 0, q = late ? (wide)frames[here + size] : 0;
    const bool both = early && late;
    if (both && p - q <= near && q - p <= near) {
        *to = (SAMPLE)middle(p, q);
        return;
    }
    const SAMPLE* bad = marks + t * size;
    const int above = good_line(bad, y, x, -1, height, width, half), below = good_line(bad, y, x, 1, height, width, half);
    const wide a = frames[here - (size_t)above * width], b = frames[here + (size_t)below * width];
    wide lines;
    if (above && below) {
        const int apart = above + below;
#if SAMPLE_IS_FLOAT
        lines = (a * below + b * above) / apart;
#else
        lines = (a * below + b * above + apart / 2) / apart;
#endif
    } else if (above || below) {
        lines = above ? a : b;
    } else if (early || late) {
        lines = both ? middle(p, q) : (early ? p : q);
    } else {
        return;
    }
    const wide low = p < q ? p : q, high = p < q ? q : p;
    *to = (SAMPLE)(both ? (lines < low ? low : (lines > high ? high : lines)) : lines);
}
