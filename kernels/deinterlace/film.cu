#include "common.cuh"
#include "measure/sums.cuh"

#if SAMPLE_IS_FLOAT
typedef double total_t;
#else
typedef long long total_t;
#endif

// One block per frame (x) and place that the second field comes from (y: this frame, the one before, the one after).
extern "C" __global__ void match_combing(const SAMPLE* __restrict__ frames, double* __restrict__ out, int start, int total,
                                         int height, int width, int first, wide limit, double scale) {
    __shared__ total_t shared[THREADS];
    const int t = start + blockIdx.x, offset = blockIdx.y == 0 ? 0 : (blockIdx.y == 1 ? -1 : 1);
    const size_t size = (size_t)height * width;
    const SAMPLE* kept = frames + t * size;
    const SAMPLE* other = frames + clampi(t + offset, 0, total - 1) * size;
    const int lines = (height - 1 - first) / 2;
    total_t mine = 0;
    for (int k = threadIdx.x; k < lines * width; k += THREADS) {
        const size_t at = (size_t)(1 + first + k / width * 2) * width + k % width;
        const wide m = other[at], a = kept[at - width], b = kept[at + width];
        const wide high = a > b ? a : b, low = a > b ? b : a;
        const wide out_by = (m - high > low - m ? m - high : low - m) - limit;
        if (out_by > 0) mine += out_by;
    }
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0) out[blockIdx.x * gridDim.y + blockIdx.y] = (double)mine / scale;
}

// One block per square of a frame: its mean absolute difference from the frame before.
extern "C" __global__ void square_changes(const SAMPLE* __restrict__ frames, double* __restrict__ means, int start,
                                          int height, int width, int block) {
    __shared__ total_t shared[THREADS];
    const int t = start + blockIdx.z, left = blockIdx.x * block, top = blockIdx.y * block;
    const int columns = width - left < block ? width - left : block, rows = height - top < block ? height - top : block;
    total_t mine = 0;
    if (t > 0)
        for (int k = threadIdx.x; k < columns * rows; k += THREADS) {
            const size_t at = ((size_t)t * height + top + k / columns) * width + left + k % columns;
            const wide a = frames[at], b = frames[at - (size_t)height * width];
            mine += a > b ? a - b : b - a;
        }
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0)
        means[((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = (double)mine / (columns * rows);
}

// One block per frame, one thread: there are few squares.
extern "C" __global__ void largest(const double* __restrict__ means, double* __restrict__ out, int start, int squares,
                                   double scale) {
    const int n = blockIdx.x;
    double most = 0.0;
    for (int k = 0; k < squares; ++k) most = means[(size_t)n * squares + k] > most ? means[(size_t)n * squares + k] : most;
    out[n] = start + n == 0 ? nan("") : most / scale;
}
