#include "common.cuh"

// All bodies: x along the line, blockIdx.y the line, blockIdx.z the frame; one thread per sample of the result.
// The colour change is three rows of (weight, weight, weight, offset).
#define SIZES int start, int height, int width, int rows, int columns, int peak
#define LAYOUT int step_x, int step_y, float site_x, float site_y
#define CHANGE                                                                                                    \
    float m00, float m01, float m02, float o0, float m10, float m11, float m12, float o1, float m20, float m21, \
        float m22, float o2

#define GIVEN                                                                                                    \
    start, height, width, rows, columns, peak, step_x, step_y, site_x, site_y, m00, m01, m02, o0, m10, m11, m12, \
        o1, m20, m21, m22, o2

__device__ inline SAMPLE rounded(float v, int peak) {
#if SAMPLE_IS_FLOAT
    return v;
#else
    v += 0.5f;
    return (SAMPLE)(v < 0.0f ? 0.0f : (v > (float)peak ? (float)peak : v));
#endif
}

// Chroma at luma's place (x, y), linear between its four neighbours; edges repeat.
__device__ inline float lift(const SAMPLE* __restrict__ plane, int rows, int columns, int x, int y, LAYOUT) {
    const float at_x = ((float)x - site_x) / step_x, at_y = ((float)y - site_y) / step_y;
    const int i = (int)floorf(at_x), j = (int)floorf(at_y);
    const float fx = at_x - i, fy = at_y - j;
    const SAMPLE *p = plane + (size_t)clampi(j, 0, rows - 1) * columns, *q = plane + (size_t)clampi(j + 1, 0, rows - 1) * columns;
    const int a = clampi(i, 0, columns - 1), b = clampi(i + 1, 0, columns - 1);
    const float left = (1.0f - fy) * (float)p[a] + fy * (float)q[a];
    const float right = (1.0f - fy) * (float)p[b] + fy * (float)q[b];
    return (1.0f - fx) * left + fx * right;
}

extern "C" __global__ void yuv_to_rgb(const SAMPLE* __restrict__ y, const SAMPLE* __restrict__ u,
                                      const SAMPLE* __restrict__ v, SAMPLE* __restrict__ out, SIZES, LAYOUT, CHANGE) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const size_t chroma = (size_t)(start + n) * rows * columns, plane = (size_t)height * width;
    const float luma = (float)y[(start + n) * plane + (size_t)row * width + x];
    const float cb = lift(u + chroma, rows, columns, x, row, step_x, step_y, site_x, site_y);
    const float cr = lift(v + chroma, rows, columns, x, row, step_x, step_y, site_x, site_y);
    SAMPLE* to = out + 3 * n * plane + (size_t)row * width + x;
    to[0] = rounded(m00 * luma + m01 * cb + m02 * cr + o0, peak);
    to[plane] = rounded(m10 * luma + m11 * cb + m12 * cr + o1, peak);
    to[2 * plane] = rounded(m20 * luma + m21 * cb + m22 * cr + o2, peak);
}

// The sample at (x, row) of all planes in the other matrix; `finish` makes a RESULT of what was computed.
template <typename RESULT, RESULT finish(float, int)>
__device__ inline void other_matrix(const SAMPLE* __restrict__ y, const SAMPLE* __restrict__ u,
                                    const SAMPLE* __restrict__ v, RESULT* __restrict__ to_y, RESULT* __restrict__ to_u,
                                    RESULT* __restrict__ to_v, SIZES, LAYOUT, CHANGE) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const size_t chroma = (size_t)(start + n) * rows * columns, plane = (size_t)height * width;
    const float luma = (float)y[(start + n) * plane + (size_t)row * width + x];
    const float cb = lift(u + chroma, rows, columns, x, row, step_x, step_y, site_x, site_y);
    const float cr = lift(v + chroma, rows, columns, x, row, step_x, step_y, site_x, site_y);
    to_y[n * plane + (size_t)row * width + x] = finish(m00 * luma + m01 * cb + m02 * cr + o0, peak);
    if (x >= columns || row >= rows) return;
    const float b = (float)u[chroma + (size_t)row * columns + x], r = (float)v[chroma + (size_t)row * columns + x];
    const size_t at = (size_t)n * rows * columns + (size_t)row * columns + x;
    to_u[at] = finish(m11 * b + m12 * r + o1, peak);
    to_v[at] = finish(m21 * b + m22 * r + o2, peak);
}

extern "C" __global__ void rematrix(const SAMPLE* __restrict__ y, const SAMPLE* __restrict__ u,
                                    const SAMPLE* __restrict__ v, SAMPLE* __restrict__ to_y, SAMPLE* __restrict__ to_u,
                                    SAMPLE* __restrict__ to_v, SIZES, LAYOUT, CHANGE) {
    other_matrix<SAMPLE, rounded>(y, u, v, to_y, to_u, to_v, GIVEN);
}

extern "C" __global__ void rgb_to_luma(const SAMPLE* __restrict__ rgb, SAMPLE* __restrict__ out, SIZES, LAYOUT,
                                       CHANGE) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y, n = blockIdx.z;
    if (x >= width) return;
    const size_t plane = (size_t)height * width;
    const SAMPLE* p = rgb + 3 * (start + n) * plane + (size_t)row * width + x;
    out[n * plane + (size_t)row * width + x] =
        rounded(m00 * (float)p[0] + m01 * (float)p[plane] + m02 * (float)p[2 * plane] + o0, peak);
}

// A chroma sample is the triangle-weighted mean of the RGB samples within one chroma step of its site.
extern "C" __global__ void rgb_to_chroma(const SAMPLE* __restrict__ rgb, SAMPLE* __restrict__ to_u,
                                         SAMPLE* __restrict__ to_v, SIZES, LAYOUT, CHANGE) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y, n = blockIdx.z;
    if (x >= columns) return;
    const size_t plane = (size_t)height * width;
    const SAMPLE* src = rgb + 3 * (start + n) * plane;
    const float at_x = step_x * x + site_x, at_y = step_y * row + site_y;
    float red = 0.0f, green = 0.0f, blue = 0.0f;
    for (int j = (int)floorf(at_y) - step_y + 1; j < at_y + step_y; ++j) {
        const float wy = (1.0f - fabsf(j - at_y) / step_y) / step_y;
        const SAMPLE* line = src + (size_t)clampi(j, 0, height - 1) * width;
        for (int i = (int)floorf(at_x) - step_x + 1; i < at_x + step_x; ++i) {
            const float w = wy * (1.0f - fabsf(i - at_x) / step_x) / step_x;
            const SAMPLE* p = line + clampi(i, 0, width - 1);
            red += w * (float)p[0], green += w * (float)p[plane], blue += w * (float)p[2 * plane];
        }
    }
    const size_t at = (size_t)n * rows * columns + (size_t)row * columns + x;
    to_u[at] = rounded(m10 * red + m11 * green + m12 * blue + o1, peak);
    to_v[at] = rounded(m20 * red + m21 * green + m22 * blue + o2, peak);
}
