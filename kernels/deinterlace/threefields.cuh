// The BBC's three-field interpolation; see threefields.py.
#pragma once
#include "deinterlace/around.cuh"

__device__ inline wide scaled_down(wide v, int shift) {
#if SAMPLE_IS_FLOAT
    return v * (1.0f / (float)(1 << shift));
#else
    return v >> shift;
#endif
}

__device__ inline wide own_alone(wide near, wide far) { return half_of(near + scaled_down((near - far) * 981, 12)); }

__device__ inline wide three_simple(wide near, wide here, wide two) {
    return half_of(near + scaled_down(here * 2 - two, 3));
}

__device__ inline wide three_complex(wide near, wide far, wide here, wide two, wide four) {
    return half_of(near + scaled_down((near - far) * 852 + (here * 2 - two) * 3801 - (here * 2 - four) * 1016, 14));
}
