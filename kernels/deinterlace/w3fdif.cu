#include "deinterlace/threefields.cuh"

// The nearest line of the same field that the picture has.
__device__ inline int inside(int y, int height) {
    while (y < 0) y += 2;
    while (y >= height) y -= 2;
    return y;
}

// One thread per output sample: x along the line, blockIdx.y the line, blockIdx.z the output frame.
extern "C" __global__ void w3fdif(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int total,
                                  int height, int width, int first, int step, int whole, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Around a(frames, n, start, total, height, width, first, step, x, y);
    SAMPLE* to = out + ((size_t)n * height + y) * width + x;
    if (a.kept()) {
        *to = *a.row(a.now, 0);
        return;
    }
    auto own = [&](int k) { return (wide)a.now[(size_t)inside(y + k, height) * width]; };
    auto others = [&](int k) {
        const size_t row = (size_t)inside(y + k, height) * width;
        return (wide)a.earlier[row] + (wide)a.later[row];
    };
    const wide near = own(-1) + own(1), here = others(0), two = others(-2) + others(2);
    const wide value = whole ? three_complex(near, own(-3) + own(3), here, two, others(-4) + others(4))
                             : three_simple(near, here, two);
    *to = to_sample(value, peak);
}
