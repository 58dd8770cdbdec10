// The surroundings of one missing sample and the temporal limit; see around.py and limit.py.
#pragma once
#include "common.cuh"

__device__ inline wide half_of(wide v) {
#if SAMPLE_IS_FLOAT
    return v * 0.5f;
#else
    return v >> 1;
#endif
}

__device__ inline wide larger(wide a, wide b) { return a > b ? a : b; }
__device__ inline wide smaller(wide a, wide b) { return a < b ? a : b; }
__device__ inline wide apart(wide a, wide b) { return a > b ? a - b : b - a; }

struct Around {
    const SAMPLE *now, *before, *after, *earlier, *later;  // at column x of line 0
    int height, width, y, parity;

    __device__ Around(const SAMPLE* frames, int n, int start, int total, int height, int width, int first, int step,
                      int x, int y)
        : height(height), width(width), y(y) {
        const int t = start + n / step, field = step == 2 ? n & 1 : 0;
        const size_t size = (size_t)height * width;
        parity = first ^ field;
        now = frames + t * size + x;
        before = frames + (t > 0 ? t - 1 : 0) * size + x;
        after = frames + (t < total - 1 ? t + 1 : t) * size + x;
        earlier = field ? now : before;
        later = field ? after : now;
    }
    __device__ bool kept() const { return (y & 1) == parity; }
    __device__ const SAMPLE* row(const SAMPLE* frame, int k) const { return frame + (size_t)mirror(y + k, height) * width; }
    __device__ wide at(const SAMPLE* frame, int k) const { return *row(frame, k); }
};

struct Limit {
    wide average, change, motion;
    __device__ explicit Limit(const Around& a) {
        const wide p = a.at(a.earlier, 0), n = a.at(a.later, 0), up = a.at(a.now, -1), down = a.at(a.now, 1);
        average = half_of(p + n);
        change = apart(p, n);
        motion = larger(half_of(change),
                        larger(half_of(apart(a.at(a.before, -1), up) + apart(a.at(a.before, 1), down)),
                               half_of(apart(a.at(a.after, -1), up) + apart(a.at(a.after, 1), down))));
    }
    __device__ wide grown(const Around& a) const {
        const wide up = a.at(a.now, -1), down = a.at(a.now, 1);
        const wide over = half_of(a.at(a.earlier, -2) + a.at(a.later, -2)) - up;
        const wide under = half_of(a.at(a.earlier, 2) + a.at(a.later, 2)) - down;
        const wide highest = larger(larger(average - up, average - down), smaller(over, under));
        const wide lowest = smaller(smaller(average - up, average - down), larger(over, under));
        return larger(motion, larger(lowest, -highest));
    }
    __device__ wide hold(wide value, wide limit) const {
        return smaller(larger(value, average - limit), average + limit);
    }
};
