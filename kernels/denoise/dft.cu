#include "common.cuh"

// Three launches: clear the sums, threshold blocks into them, scale them to samples.
// A block of 256 threads is one block position and walks through the frames, with the spectra of 2 radius + 1 of them
// in a ring; every thread is one element of the matrix products and one complex slot (see dft.py).
constexpr int SIDE = 16, STEP = 4, SLOTS = 144, RING = 7;
__constant__ float ROOT = 1.41421356f;

extern "C" __global__ void clear(float* __restrict__ sums, int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < size) sums[(size_t)blockIdx.y * size + i] = 0.0f;
}

__device__ inline float kept(float re, float im, float slope, float foot) {
    return fminf(fmaxf((re * re + im * im) * slope - foot, 0.0f), 1.0f);
}

extern "C" __global__ void threshold(const SAMPLE* __restrict__ frames, float* __restrict__ sums,
                                     const int* __restrict__ rows, const int* __restrict__ columns,
                                     const float* __restrict__ matrix, const float* __restrict__ waves,
                                     const float* __restrict__ grey, const float* __restrict__ slopes,
                                     int start, int outs, int count, int height, int width, int high, int wide,
                                     int radius, int spectra, float foot, float scale) {
    __shared__ float m[SIDE][SIDE + 1], a[SIDE][SIDE + 1], b[SIDE][SIDE + 1];
    __shared__ float ring[RING][2][SLOTS];
    __shared__ float out[2][SLOTS];
    __shared__ float level;
    const int tid = threadIdx.x, i = tid / SIDE, j = tid % SIDE;
    const int top = blockIdx.y * STEP, left = blockIdx.x * STEP, n = 2 * radius + 1;
    m[i][j] = matrix[tid];
    const size_t spot = (size_t)rows[top + i] * width + columns[left + j];
    for (int t = start - radius; t < start + outs + radius; ++t) {
        const int k = (t + n) % n;
        __syncthreads();
        a[i][j] = (float)frames[(size_t)clampi(t, 0, count - 1) * height * width + spot] * scale;
        __syncthreads();
        float sum = 0.0f;
        for (int x = 0; x < SIDE; ++x) sum += m[i][x] * a[x][j];
        b[i][j] = sum;
        __syncthreads();
        sum = 0.0f;
        for (int x = 0; x < SIDE; ++x) sum += b[i][x] * m[j][x];
        a[i][j] = sum;  // coefficients: a[row wave][column wave], cosines 0-8 then sines 1-7
        __syncthreads();
        const int middle = (t - radius + 2 * n) % n;
        float re0 = 0.0f, im0 = 0.0f, re1 = 0.0f, im1 = 0.0f;
        if (tid < SLOTS) {
            float re = 0.0f, im = 0.0f;
            if (tid < 112) {
                const int u = tid / 16 + 1, v = tid % 8, minus = tid % 16 >= 8;
                if (v == 0) {
                    re = ROOT * a[u][8 * minus];
                    im = ROOT * a[u + 8][8 * minus];
                } else if (!minus) {
                    re = a[u][v] - a[u + 8][v + 8];
                    im = a[u][v + 8] + a[u + 8][v];
                } else {
                    re = a[u][v] + a[u + 8][v + 8];
                    im = a[u + 8][v] - a[u][v + 8];
                }
            } else if (tid < 128) {
                const int u = tid < 120 ? 0 : 8, v = tid % 8;
                re = v == 0 ? 2.0f * a[u][0] : ROOT * a[u][v];
                im = v == 0 ? 0.0f : ROOT * a[u][v + 8];
            } else if (tid < 130) {
                re = 2.0f * a[8 * (tid - 128)][8];
            }
            ring[k][0][tid] = re;
            ring[k][1][tid] = im;
            re1 = re0 = ring[middle][0][tid];  // a thread reads only its own slot of the ring
            im1 = im0 = ring[middle][1][tid];
            for (int f = 1; f < n; ++f) {
                re1 += ring[(middle + f) % n][0][tid];
                im1 += ring[(middle + f) % n][1][tid];
            }
            if (tid == 112) level = re1 / grey[112];
        }
        __syncthreads();
        if (tid < SLOTS && t >= start + radius) {
            const float g = level * grey[tid], h = level * grey[SLOTS + tid];  // even grey is set aside
            // One spectrum for each frame, or one for all; of each wave along time SLOTS values.
            const float* own = slopes + (size_t)((t - radius - start) % spectra) * (radius + 1) * SLOTS + tid;
            const float keep = kept(re1 - g, im1 - h, own[0], foot);
            re1 = (re1 - g) * keep + g;
            im1 = (im1 - h) * keep + h;
            for (int w = 0; w < radius; ++w) {
                float pr = re0, pi = im0, dr = 0.0f, di = 0.0f;
                for (int f = 0; f < radius; ++f) {
                    const float c = waves[w * radius + f], s = waves[(radius + w) * radius + f];
                    const int after = (middle + f + 1) % n, before = (middle + n - f - 1) % n;
                    pr += c * (ring[after][0][tid] + ring[before][0][tid]);
                    pi += c * (ring[after][1][tid] + ring[before][1][tid]);
                    dr += s * (ring[after][0][tid] - ring[before][0][tid]);
                    di += s * (ring[after][1][tid] - ring[before][1][tid]);
                }
                const float slope = own[(w + 1) * SLOTS];
                const float first = kept(pr + di, pi - dr, slope, foot), second = kept(pr - di, pi + dr, slope, foot);
                re1 += first * (pr + di) + second * (pr - di);
                im1 += first * (pi - dr) + second * (pi + dr);
            }
            out[0][tid] = re1;
            out[1][tid] = im1;
        }
        __syncthreads();
        if (t < start + radius) continue;  // the same for the whole block
        {
            const int u = i > 8 ? i - 8 : i, v = j > 8 ? j - 8 : j;  // waves of this coefficient
            const bool sine_u = i > 8, sine_v = j > 8;
            float value;
            if (u % 8) {
                const int plus = (u - 1) * 16 + v % 8, minus = plus + 8;
                if (v % 8 == 0)
                    value = out[sine_u][(u - 1) * 16 + v] / ROOT;
                else if (!sine_u && !sine_v)
                    value = (out[0][plus] + out[0][minus]) * 0.5f;
                else if (sine_u && sine_v)
                    value = (out[0][minus] - out[0][plus]) * 0.5f;
                else if (sine_u)
                    value = (out[1][plus] + out[1][minus]) * 0.5f;
                else
                    value = (out[1][plus] - out[1][minus]) * 0.5f;
            } else if (v == 0) {
                value = out[0][112 + u] * 0.5f;
            } else if (v == 8) {
                value = out[0][128 + u / 8] * 0.5f;
            } else {
                value = out[sine_v][112 + u + v] / ROOT;
            }
            a[i][j] = value;
        }
        __syncthreads();
        sum = 0.0f;
        for (int x = 0; x < SIDE; ++x) sum += a[i][x] * m[x][j];
        b[i][j] = sum;
        __syncthreads();
        sum = 0.0f;
        for (int x = 0; x < SIDE; ++x) sum += m[x][i] * b[x][j];
        atomicAdd(&sums[((size_t)(t - radius - start) * high + top + i) * wide + left + j], sum);
    }
}

extern "C" __global__ void finish(const float* __restrict__ sums, SAMPLE* __restrict__ out, int height, int width,
                                  int high, int wide, float share, float peak, float half) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, t = blockIdx.z;
    if (x >= width) return;
    const float v = sums[((size_t)t * high + y + SIDE - STEP) * wide + x + SIDE - STEP] * share + half;
#if SAMPLE_IS_FLOAT
    out[((size_t)t * height + y) * width + x] = v;
#else
    out[((size_t)t * height + y) * width + x] = (SAMPLE)fminf(fmaxf(v, 0.0f), peak);
#endif
}
