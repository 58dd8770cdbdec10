#include "common.cuh"

// Five launches: planes of floats and bytes, the best matches of every block, clear the sums, filter each group into
// them, and make samples of them.  A block of threads is one reference block: in `match` a thread takes every 32nd
// candidate, in `collaborate` it is one sample (or frequency) of each of the eight blocks, or a line of one of them.
// The order of the atomic additions is not fixed, so results may differ in the last bits of a float.
constexpr int SIDE = 8, GROUP = 8, AREA = SIDE * SIDE, SEEKERS = 32, PLACES = 18;
constexpr unsigned NONE = 0xffffffffu;

__device__ inline int frame_of(int slot) { return slot % 2 ? -((slot + 1) / 2) : slot / 2; }

__device__ inline int mirrored(int i, int n) {  // 0 1 2 ... n-1 | n-1 ...
    i %= 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

extern "C" __global__ void prepare(const SAMPLE* __restrict__ frames, float* __restrict__ light,
                                   unsigned char* __restrict__ seen, int begin, int height, int width, int high,
                                   int wide, float scale) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= wide) return;
    const size_t to = ((size_t)n * high + y) * wide + x;
    const float v =
        (float)frames[((size_t)(begin + n) * height + mirrored(y, height)) * width + mirrored(x, width)] * scale;
    light[to] = v;
    seen[to] = (unsigned char)fminf(fmaxf(v + 0.5f, 0.0f), 255.0f);
}

extern "C" __global__ void match(const unsigned char* __restrict__ seen, unsigned* __restrict__ found, int first,
                                 int held, int high, int wide, int step, int reach, int radius, int search,
                                 int motion) {
    __shared__ unsigned char here[AREA];
    __shared__ unsigned lists[GROUP][SEEKERS];
    const int tid = threadIdx.x, x = blockIdx.x * step, y = blockIdx.y * step, t = first + blockIdx.z;
    const int side = 2 * reach + 1, total = (2 * radius + 1) * side * side;
    for (int i = tid; i < AREA; i += SEEKERS)
        here[i] = seen[((size_t)t * high + y + i / SIDE) * wide + x + i % SIDE];
    unsigned best[GROUP];
    for (int k = 0; k < GROUP; ++k) best[k] = NONE;
    if (tid == 0) best[0] = 0;  // the block itself
    __syncthreads();
    for (int n = tid; n < total; n += SEEKERS) {
        const int line = n / side, dx = n % side - reach, slot = line / side, dy = line % side - reach;
        const int frame = t + frame_of(slot), far = slot ? motion * ((slot + 1) / 2) : search;
        if (frame < 0 || frame >= held || y + dy < 0 || y + dy > high - SIDE || x + dx < 0 || x + dx > wide - SIDE ||
            dy < -far || dy > far || dx < -far || dx > far || (slot == 0 && dy == 0 && dx == 0))
            continue;
        const unsigned char* there = seen + ((size_t)frame * high + y + dy) * wide + x + dx;
        unsigned sum = 0;
        for (int i = 0; i < SIDE; ++i)
            for (int j = 0; j < SIDE; ++j) {
                const int d = here[i * SIDE + j] - there[(size_t)i * wide + j];
                sum += d < 0 ? -d : d;
            }
        unsigned key = sum << PLACES | (unsigned)(n + 1);
#pragma unroll
        for (int k = 0; k < GROUP; ++k) {
            const unsigned less = min(best[k], key);
            key = max(best[k], key);
            best[k] = less;
        }
    }
#pragma unroll
    for (int k = 0; k < GROUP; ++k) lists[k][tid] = best[k];
    for (int apart = SEEKERS / 2; apart > 0; apart /= 2) {  // of two sorted lists the smaller half, sorted
        __syncthreads();
        if (tid < apart) {
#pragma unroll
            for (int k = 0; k < GROUP; ++k) best[k] = min(lists[k][tid], lists[GROUP - 1 - k][tid + apart]);
#pragma unroll
            for (int gap = GROUP / 2; gap > 0; gap /= 2)
#pragma unroll
                for (int k = 0; k < GROUP; ++k)
                    if (!(k & gap)) {
                        const unsigned less = min(best[k], best[k + gap]);
                        best[k + gap] = max(best[k], best[k + gap]);
                        best[k] = less;
                    }
#pragma unroll
            for (int k = 0; k < GROUP; ++k) lists[k][tid] = best[k];
        }
    }
    __syncthreads();
    if (tid < GROUP)
        found[(((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * GROUP + tid] = lists[tid][0];
}

extern "C" __global__ void clear(float* __restrict__ sums, long long size) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) sums[i] = 0.0f;
}

// Sums and differences along the group, unscaled, coarse to fine: their squared norms are 8, 8, 4, 4, 2, 2, 2, 2.
__device__ inline float norm(int k) { return k < 2 ? 8.0f : (k < 4 ? 4.0f : 2.0f); }

__device__ inline void haar(float* v) {
    float a[4], d[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        a[k] = v[2 * k] + v[2 * k + 1];
        d[k] = v[2 * k] - v[2 * k + 1];
    }
    const float b0 = a[0] + a[1], b1 = a[2] + a[3];
    v[2] = a[0] - a[1];
    v[3] = a[2] - a[3];
    v[0] = b0 + b1;
    v[1] = b0 - b1;
#pragma unroll
    for (int k = 0; k < 4; ++k) v[4 + k] = d[k];
}

__device__ inline void unhaar(float* v) {
    const float b0 = v[0] + v[1], b1 = v[0] - v[1];
    const float a[4] = {b0 + v[2], b0 - v[2], b1 + v[3], b1 - v[3]};
    const float d[4] = {v[4], v[5], v[6], v[7]};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        v[2 * k] = a[k] + d[k];
        v[2 * k + 1] = a[k] - d[k];
    }
}

// The orthonormal cosine transform of eight values, and its inverse.
constexpr float W1 = 0.49039264f, W2 = 0.46193977f, W3 = 0.41573481f, W4 = 0.35355339f, W5 = 0.27778512f,
                W6 = 0.19134172f, W7 = 0.09754516f;  // cos(k pi / 16) / 2

__device__ inline void cosines(float* v) {
    float s[4], d[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        s[i] = v[i] + v[7 - i];
        d[i] = v[i] - v[7 - i];
    }
    const float e0 = s[0] + s[3], e1 = s[1] + s[2], f0 = s[0] - s[3], f1 = s[1] - s[2];
    v[0] = (e0 + e1) * W4;
    v[4] = (e0 - e1) * W4;
    v[2] = f0 * W2 + f1 * W6;
    v[6] = f0 * W6 - f1 * W2;
    v[1] = d[0] * W1 + d[1] * W3 + d[2] * W5 + d[3] * W7;
    v[3] = d[0] * W3 - d[1] * W7 - d[2] * W1 - d[3] * W5;
    v[5] = d[0] * W5 - d[1] * W1 + d[2] * W7 + d[3] * W3;
    v[7] = d[0] * W7 - d[1] * W5 + d[2] * W3 - d[3] * W1;
}

__device__ inline void lines(float* v) {
    const float p = (v[0] + v[4]) * W4, q = (v[0] - v[4]) * W4;
    const float r = v[2] * W2 + v[6] * W6, s = v[2] * W6 - v[6] * W2;
    const float even[4] = {p + r, q + s, q - s, p - r};
    const float odd[4] = {v[1] * W1 + v[3] * W3 + v[5] * W5 + v[7] * W7,
                          v[1] * W3 - v[3] * W7 - v[5] * W1 - v[7] * W5,
                          v[1] * W5 - v[3] * W1 + v[5] * W7 + v[7] * W3,
                          v[1] * W7 - v[3] * W5 + v[5] * W3 - v[7] * W1};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[i] = even[i] + odd[i];
        v[7 - i] = even[i] - odd[i];
    }
}

typedef float Blocks[GROUP][SIDE][SIDE + 1];

// v[k] of thread (i, j): sample (i, j) of block k becomes its frequency, or `back`.  Between, a thread is a line.
// The result is read from `a`; called next with `a` and `b` exchanged it needs no further barrier.
__device__ inline void both_ways(float* v, Blocks a, Blocks b, bool back) {
    const int i = threadIdx.x / SIDE, j = threadIdx.x % SIDE;
    float r[SIDE];
#pragma unroll
    for (int k = 0; k < GROUP; ++k) a[k][i][j] = v[k];
    __syncthreads();
#pragma unroll
    for (int m = 0; m < SIDE; ++m) r[m] = a[i][j][m];
    if (back) lines(r); else cosines(r);
#pragma unroll
    for (int m = 0; m < SIDE; ++m) b[i][m][j] = r[m];
    __syncthreads();
#pragma unroll
    for (int m = 0; m < SIDE; ++m) r[m] = b[i][j][m];
    if (back) lines(r); else cosines(r);
#pragma unroll
    for (int m = 0; m < SIDE; ++m) a[i][m][j] = r[m];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < GROUP; ++k) v[k] = a[k][i][j];
}

extern "C" __global__ void collaborate(const float* __restrict__ light, const float* __restrict__ guide,
                                       const unsigned* __restrict__ found, float* __restrict__ sums,
                                       const float* __restrict__ window, int first, int held, int high, int wide,
                                       int step, int reach, int radius, int start, int outs, int guided,
                                       float strength) {
    __shared__ Blocks a, b;
    __shared__ float total[AREA];
    const int tid = threadIdx.x, i = tid / SIDE, j = tid % SIDE, side = 2 * reach + 1;
    const int x = blockIdx.x * step, y = blockIdx.y * step, t = first + blockIdx.z;
    const unsigned* keys = found + (((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * GROUP;
    size_t place[GROUP];
    int frame[GROUP];
    float v[GROUP], g[GROUP];
#pragma unroll
    for (int k = 0; k < GROUP; ++k) {
        const unsigned number = keys[k] == NONE ? 0 : keys[k] & ((1u << PLACES) - 1);
        const int n = (int)number - 1, line = n / side;
        const int dx = number ? n % side - reach : 0, dy = number ? line % side - reach : 0;
        frame[k] = number ? frame_of(line / side) : 0;
        place[k] = (size_t)(y + dy + i) * wide + x + dx + j;
        v[k] = light[(size_t)(t + frame[k]) * high * wide + place[k]];
        g[k] = guide[(size_t)(t + frame[k]) * high * wide + place[k]];
    }
    if (guided) {
        both_ways(g, b, a, false);
        haar(g);
    }
    both_ways(v, a, b, false);
    haar(v);
    float squares = 0.0f;
#pragma unroll
    for (int k = 0; k < GROUP; ++k) {
        float keep;
        if (guided)
            keep = g[k] * g[k] / (g[k] * g[k] + norm(k) * strength);
        else
            keep = fminf(fmaxf(v[k] * v[k] / norm(k) * strength - 1.5f, 0.0f), 1.0f);
        if (k == 0 && tid == 0) keep = 1.0f;  // the mean of the group
        squares += keep * keep;
        v[k] *= keep / norm(k);
    }
    total[tid] = squares;
    unhaar(v);
    both_ways(v, b, a, true);
    squares = 0.0f;
    for (int n = 0; n < AREA; ++n) squares += total[n];
    const float weight = window[tid] / squares;
    const size_t area = (size_t)high * wide;
#pragma unroll
    for (int k = 0; k < GROUP; ++k) {
        const int n = (int)blockIdx.z - start + frame[k];
        if (n < 0 || n >= outs) continue;
        atomicAdd(&sums[n * area + place[k]], weight * v[k]);
        atomicAdd(&sums[(outs + n) * area + place[k]], weight);
    }
}

extern "C" __global__ void finish(const float* __restrict__ sums, SAMPLE* __restrict__ out, int height, int width,
                                  int high, int wide, float scale, float peak, float half) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = blockIdx.z;
    if (x >= width) return;
    const size_t from = ((size_t)t * high + y) * wide + x, area = (size_t)gridDim.z * high * wide;
    const float v = sums[from] / (sums[area + from] * scale) + half;
#if SAMPLE_IS_FLOAT
    out[((size_t)t * height + y) * width + x] = v;
#else
    out[((size_t)t * height + y) * width + x] = (SAMPLE)fminf(fmaxf(v, 0.0f), peak);
#endif
}
