#include "deinterlace/around.cuh"

// One thread per output sample: x along the line, blockIdx.y the line, blockIdx.z the output frame.
extern "C" __global__ void yadif(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int total,
                                 int height, int width, int first, int step, int check) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Around a(frames, n, start, total, height, width, first, step, x, y);
    SAMPLE* to = out + ((size_t)n * height + y) * width + x;
    if (a.kept()) {
        *to = *a.row(a.now, 0);
        return;
    }
    const SAMPLE *above = a.row(a.now, -1), *below = a.row(a.now, 1);
    wide chosen = half_of((wide)*above + (wide)*below);
    if (x >= 3 && x < width - 3) {
        wide up[7], down[7];
        for (int k = 0; k < 7; ++k) up[k] = above[k - 3], down[k] = below[k - 3];
        wide best = apart(up[2], down[2]) + apart(up[3], down[3]) + apart(up[4], down[4]) - 1;
        for (int side = -1; side <= 1; side += 2)
            for (int j = side; j == side || j == 2 * side; j += side) {
                const wide cost = apart(up[2 + j], down[2 - j]) + apart(up[3 + j], down[3 - j]) + apart(up[4 + j], down[4 - j]);
                if (!(cost < best)) break;
                best = cost;
                chosen = half_of(up[3 + j] + down[3 - j]);
            }
    }
    const Limit limit(a);
    const bool checked = check && y != 1 && y != height - 2;
    *to = (SAMPLE)limit.hold(chosen, checked ? limit.grown(a) : limit.motion);
}
