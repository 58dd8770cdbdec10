#include "deinterlace/threefields.cuh"

// One thread per output sample: x along the line, blockIdx.y the line, blockIdx.z the output frame.
extern "C" __global__ void bwdif(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, int start, int total,
                                 int height, int width, int first, int step, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const Around a(frames, n, start, total, height, width, first, step, x, y);
    SAMPLE* to = out + ((size_t)n * height + y) * width + x;
    if (a.kept()) {
        *to = *a.row(a.now, 0);
        return;
    }
    const int t = start + n / step;
    const bool first_field = a.parity == first;
    const bool ends = (t == 0 && first_field) || (t == total - 1 && !first_field);
    const wide up = a.at(a.now, -1), down = a.at(a.now, 1), near = up + down;
    const wide far = (y >= 3 ? a.at(a.now, -3) : down) + (y < height - 3 ? a.at(a.now, 3) : up);
    if (ends) {
        *to = to_sample(own_alone(near, far), peak);
        return;
    }
    const Limit limit(a);
    wide value = half_of(near);
    if (y >= 4 && y < height - 4) {
        if (apart(up, down) > limit.change) {
            const wide here = a.at(a.earlier, 0) + a.at(a.later, 0);
            const wide two = a.at(a.earlier, -2) + a.at(a.later, -2) + a.at(a.earlier, 2) + a.at(a.later, 2);
            const wide four = a.at(a.earlier, -4) + a.at(a.later, -4) + a.at(a.earlier, 4) + a.at(a.later, 4);
            value = to_sample(three_complex(near, far, here, two, four), peak);
        } else {
            value = to_sample(own_alone(near, far), peak);
        }
    }
    if (limit.motion == 0)
        *to = (SAMPLE)limit.average;
    else
        *to = (SAMPLE)limit.hold(value, y >= 2 && y < height - 2 ? limit.grown(a) : limit.motion);
}
