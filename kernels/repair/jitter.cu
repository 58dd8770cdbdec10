#include "common.cuh"

#if SAMPLE_IS_FLOAT
typedef double total_t;
#else
typedef long long total_t;
#endif

#define PARTS 4

// One block per line (y) and frame (z), one thread per side, part of the line and displacement: neighbours among the
// threads read neighbouring samples of the line and the same sample of the other frame.
extern "C" __global__ void line_costs(const SAMPLE* __restrict__ frames, double* __restrict__ out, int start, int count,
                                      int height, int width, int reach, double scale) {
    const int places = 2 * reach + 1, k = threadIdx.x % places, part = threadIdx.x / places % PARTS;
    if (threadIdx.x >= 2 * PARTS * places) return;
    const int t = start + blockIdx.z, other = threadIdx.x < PARTS * places ? t - 1 : t + 1;
    const int inner = width - 2 * reach, low = part * inner / PARTS, high = (part + 1) * inner / PARTS;
    const size_t size = (size_t)height * width, row = (size_t)blockIdx.y * width;
    total_t total = 0;
    if (other >= 0 && other < count) {
        const SAMPLE* line = frames + t * size + row + k;
        const SAMPLE* middle = frames + other * size + row + reach;
        for (int x = low; x < high; ++x) {
            const total_t apart = (total_t)line[x] - middle[x];
            total += apart * apart;
        }
    }
    out[((size_t)blockIdx.z * height + blockIdx.y) * 2 * PARTS * places + threadIdx.x] = (double)total / (scale * (high - low));
}

// One thread per sample; `taps` holds six for each of 64 places between two samples, summing to 16384.
extern "C" __global__ void shift_lines(const SAMPLE* __restrict__ frames, const float* __restrict__ shifts,
                                       const int* __restrict__ taps, SAMPLE* __restrict__ out, int start, int height,
                                       int width, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t line = (size_t)(start + blockIdx.z) * height + blockIdx.y;
    const float shift = shifts[line];
    const int step = (int)floorf((shift < -64.0f ? -64.0f : (shift > 64.0f ? 64.0f : shift)) * 64.0f + 0.5f);
    const SAMPLE* row = frames + line * width;
    SAMPLE* to = out + ((size_t)blockIdx.z * height + blockIdx.y) * width + x;
    if (step == 0) {
        *to = row[x];
        return;
    }
    const int* tap = taps + 6 * (step & 63);
    wide sum = 0;
    for (int k = 0; k < 6; ++k) sum += (wide)row[clampi(x + (step >> 6) + k - 2, 0, width - 1)] * tap[k];
#if SAMPLE_IS_FLOAT
    *to = sum * (1.0f / 16384.0f);
#else
    *to = to_sample((sum + 8192) >> 14, peak);
#endif
}
