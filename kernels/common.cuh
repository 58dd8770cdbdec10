// What every CUDA body shares. Compiled by NVRTC for the GPU, and by the C++ compiler against
// tests/cuda_host/host.h, so only plain C++17 and CUDA's basic built-ins may be used.
// SAMPLE is the plane's C type, SAMPLE_IS_FLOAT says whether it is float.
#pragma once

#if SAMPLE_IS_FLOAT
typedef float wide;
#else
typedef int wide;
#endif

// The reflected row: -1 -> 1, height -> height - 2; clamped for planes too small to reflect in.
__device__ inline int mirror(int i, int n) {
    if (i < 0) i = -i;
    if (i >= n) i = 2 * n - 2 - i;
    return i < 0 ? 0 : (i >= n ? n - 1 : i);
}

__device__ inline int clampi(int i, int low, int high) { return i < low ? low : (i > high ? high : i); }

// Half of a sum of two samples, rounded up for integers, exact for float.
__device__ inline wide half_sum(wide a, wide b) {
#if SAMPLE_IS_FLOAT
    return (a + b) * 0.5f;
#else
    return (a + b + 1) >> 1;
#endif
}

// A result in levels to a sample: limited to 0..peak for integers, as it is for float.
__device__ inline SAMPLE to_sample(wide v, int peak) {
#if SAMPLE_IS_FLOAT
    return v;
#else
    return (SAMPLE)(v < 0 ? 0 : (v > peak ? peak : v));
#endif
}
