#include "common.cuh"
#include "motion/phases.cuh"

// One thread per sample.  One neighbouring field after the other is moved onto each field, compared with the field's own
// lines, and added; see fill.py.
constexpr int NONE = 32767, ASIDE = 2;
constexpr float EVIDENCE = 1e-3f;

struct Field {  // of output frame n: its frame t, whether it is the second field, the parity of its own lines
    int t, second, parity;
};
__device__ inline Field field_of(int n, int start, int bottom_first, int step) {
    const int second = step == 2 ? n & 1 : 0;
    return {start + n / step, second, bottom_first ^ second};
}
// The k-th of a field's own lines, counted from the one above line y (or y itself); beyond the edge they repeat.
__device__ inline int own_line(int y, int k, int parity, int height) {
    const int at = y - ((y & 1) != parity) + 2 * k, last = (height - 1 - parity) / 2 * 2 + parity;
    return clampi(at, parity, last);
}

extern "C" __global__ void begin(const SAMPLE* __restrict__ frames, const SAMPLE* __restrict__ guess,
                                 float* __restrict__ total, float* __restrict__ sure, float* __restrict__ slack,
                                 int start, int height, int width, int bottom_first, int step, float own, float fit,
                                 float rough) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Field f = field_of(n, start, bottom_first, step);
    const size_t at = (size_t)y * width + x, area = (size_t)height * width;
    const SAMPLE here = (y & 1) == f.parity ? frames[f.t * area + at] : guess[(2 * f.t + f.second) * area + at];
    total[n * area + at] = own * (float)here;
    sure[n * area + at] = own;
    if ((y & 1) != f.parity) return;
    const SAMPLE* field = frames + f.t * area;
    const size_t above = (size_t)own_line(y, -1, f.parity, height) * width, line = (size_t)y * width;
    const size_t below = (size_t)own_line(y, 1, f.parity, height) * width;
    float sum = 0.0f;
    for (int k = -ASIDE; k <= ASIDE; ++k) {
        const int i = clampi(x + k, 0, width - 1);
        sum += fabsf(2.0f * (float)field[line + i] - ((float)field[above + i] + (float)field[below + i]));
    }
    slack[n * area + at] = 1.0f / (fit + rough * (0.5f / (2 * ASIDE + 1)) * sum);
}

extern "C" __global__ void moved(const SAMPLE* __restrict__ planes, const short* __restrict__ motion,
                                 const float* __restrict__ shape, float* __restrict__ sums, float* __restrict__ weights,
                                 int start, int height, int width, int bottom_first, int step, int rows, int columns,
                                 int radius, int high, int wide, int down, int across, int begin, int count, int slot,
                                 float part, float made) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Field f = field_of(n, start, bottom_first, step);
    const int d = slot / 2 + 1, here = 2 * f.t + f.second, other = here + (slot % 2 ? d : -d);
    const int stride = width + 4 * wide;
    const size_t area = (size_t)(height + 4 * high) * stride, to = ((size_t)n * height + y) * width + x;
    float sum = 0.0f, weight = 0.0f;
    for (int k = 0; k < 4 && other >= 0 && other < count; ++k) {
        const int i = y / (high / 2) + k / 2, j = x / (wide / 2) + k % 2;
        const int dy = y - (i - 1) * (high / 2), dx = x - (j - 1) * (wide / 2);  // within the block
        const short* v = motion + ((((size_t)here * 2 * radius + slot) * rows + i) * columns + j) * 3;
        const float e = (float)v[2] * part;
        if (v[2] == NONE || v[2] < 0 || e >= 1.0f) continue;
        const int oy = 2 * high + (i - 1) * (high / 2), ox = 2 * wide + (j - 1) * (wide / 2);
        const int vy = clampi(2 * oy + ((v[0] + ((1 << down) >> 1)) >> down), 0, 2 * (height + 3 * high) + 1);
        const int vx = clampi(2 * ox + ((v[1] + ((1 << across) >> 1)) >> across), 0, 2 * (width + 3 * wide) + 1);
        const float rest = 1.0f - e * e;
        const int line = (vy - 4 * high + 2 * dy - 2 * (bottom_first ^ (other & 1))) & 3;  // 0: it was sampled
        const float w = rest * rest * (line == 0 ? 1.0f : line == 2 ? made : (1.0f + made) * 0.5f) * shape[dy * wide + dx];
        const size_t plane = 4 * area * (other - begin) + ((vy & 1) * 2 + (vx & 1)) * area;
        sum += w * (float)planes[plane + (size_t)((vy >> 1) + dy) * stride + (vx >> 1) + dx];
        weight += w;
    }
    sums[to] = sum;
    weights[to] = weight;
}

extern "C" __global__ void differ(const SAMPLE* __restrict__ frames, const float* __restrict__ sums,
                                  const float* __restrict__ weights, const float* __restrict__ slack,
                                  float* __restrict__ apart, int start, int height, int width, int bottom_first,
                                  int step) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    const Field f = field_of(n, start, bottom_first, step);
    if (x >= width || (y & 1) != f.parity) return;
    const size_t row = ((size_t)n * height + y) * width, own = ((size_t)f.t * height + y) * width;
    float sum = 0.0f;
    for (int k = -ASIDE; k <= ASIDE; ++k) {
        const int at = clampi(x + k, 0, width - 1);
        const float w = weights[row + at];
        sum += fabsf((float)frames[own + at] * w - sums[row + at]) / (w + EVIDENCE);
    }
    apart[row + x] = sum * (1.0f / (2 * ASIDE + 1)) * slack[row + x];
}

extern "C" __global__ void add(float* __restrict__ total, float* __restrict__ sure, const float* __restrict__ sums,
                               const float* __restrict__ weights, const float* __restrict__ apart, int start,
                               int height, int width, int bottom_first, int step) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Field f = field_of(n, start, bottom_first, step);
    const float* field = apart + (size_t)n * height * width + x;
    const bool here = (y & 1) == f.parity;
    const float a = field[(size_t)own_line(y, here ? -1 : 0, f.parity, height) * width];
    const float b = field[(size_t)own_line(y, 0, f.parity, height) * width];
    const float c = field[(size_t)own_line(y, 1, f.parity, height) * width];
    const float s = here ? 0.25f * (a + c) + 0.5f * b : 0.5f * (a + c), worth = 1.0f / (1.0f + s * s);
    const size_t at = ((size_t)n * height + y) * width + x;
    total[at] += worth * sums[at];
    sure[at] += worth * weights[at];
}

extern "C" __global__ void finish(const SAMPLE* __restrict__ frames, const float* __restrict__ total,
                                  const float* __restrict__ sure, SAMPLE* __restrict__ out, int start, int height,
                                  int width, int bottom_first, int step, float pull, float peak, float rounding) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Field f = field_of(n, start, bottom_first, step);
    const size_t own = (size_t)f.t * height * width + x, made = (size_t)n * height * width + x, at = (size_t)y * width;
    if ((y & 1) == f.parity) {
        out[made + at] = frames[own + at];
        return;
    }
    float rest[4];
    for (int k = 0; k < 4; ++k) {
        const size_t line = (size_t)own_line(y, k - 1, f.parity, height) * width;
        rest[k] = (float)frames[own + line] - total[made + line] / sure[made + line];
    }
    const float back = 9.0f / 16.0f * (rest[1] + rest[2]) - 1.0f / 16.0f * (rest[0] + rest[3]);
    const float v = total[made + at] / sure[made + at] + pull * back + rounding;
#if SAMPLE_IS_FLOAT
    out[made + at] = v;
#else
    out[made + at] = (SAMPLE)fminf(fmaxf(v, 0.0f), peak);
#endif
}
