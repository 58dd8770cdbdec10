// Padded planes and the samples half-way between theirs; see planes.py.
#pragma once

__device__ inline unsigned char six(unsigned char a, unsigned char b, unsigned char c, unsigned char d,
                                    unsigned char e, unsigned char f, int peak) {
    return (unsigned char)clampi((20 * (c + d) - 5 * (b + e) + a + f + 16) >> 5, 0, peak);
}
__device__ inline unsigned short six(unsigned short a, unsigned short b, unsigned short c, unsigned short d,
                                     unsigned short e, unsigned short f, int peak) {
    return (unsigned short)clampi((20 * (c + d) - 5 * (b + e) + a + f + 16) >> 5, 0, peak);
}
__device__ inline float six(float a, float b, float c, float d, float e, float f, int) {
    return (20.0f * (c + d) - 5.0f * (b + e) + (a + f)) * (1.0f / 32.0f);
}

// One thread per sample of a plane of `high` lines of `wide`: the sample half-way to the next, across or down.
template <class T>
__device__ void half_way(const T* from, T* to, int high, int wide, int across, int peak) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= wide) return;
    T v[6];
    for (int k = 0; k < 6; ++k)
        v[k] = across ? from[(size_t)y * wide + clampi(x + k - 2, 0, wide - 1)]
                      : from[(size_t)clampi(y + k - 2, 0, high - 1) * wide + x];
    to[(size_t)y * wide + x] = six(v[0], v[1], v[2], v[3], v[4], v[5], peak);
}
