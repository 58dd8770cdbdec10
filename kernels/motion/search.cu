#include "common.cuh"
#include "motion/planes.cuh"

// Planes of bytes: for each frame (`total` bytes) its four phases, then its smaller pictures, all padded.
// One thread is one block of the grid: neighbouring threads read neighbouring samples, from the cache.
// Fields of vectors hold down, right, cost and the parent's down, right: 5 integers.
constexpr int SPAN = 4, ROUNDS = 2, CAP = 32, NONE = 32767;

extern "C" __global__ void prepare(const SAMPLE* __restrict__ frames, unsigned char* __restrict__ planes, long long total,
                                   int begin, int height, int width, int pad, float scale) {
    const int wide = width + 2 * pad, x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y, n = blockIdx.z;
    if (x >= wide) return;
    const size_t row = (size_t)(begin + n) * height + clampi(y - pad, 0, height - 1);
    const float v = (float)frames[row * width + clampi(x - pad, 0, width - 1)] * scale + 0.5f;
    planes[n * total + (size_t)y * wide + x] = (unsigned char)fminf(fmaxf(v, 0.0f), 255.0f);
}

extern "C" __global__ void phase(unsigned char* __restrict__ planes, long long total, long long from, long long to,
                                 int high, int wide, int across) {
    unsigned char* plane = planes + blockIdx.z * total;
    half_way(plane + from, plane + to, high, wide, across, 255);
}

extern "C" __global__ void smaller(unsigned char* __restrict__ planes, long long total, long long from, long long to,
                                   int height, int width, int pad) {
    const int high = (height + 1) / 2, wide = (width + 1) / 2, stride = width + 2 * pad;
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= wide + 2 * pad) return;
    const unsigned char* a = planes + blockIdx.z * total + from +
                             (size_t)(2 * clampi(y - pad, 0, high - 1) + pad) * stride +
                             2 * clampi(x - pad, 0, wide - 1) + pad;
    planes[blockIdx.z * total + to + (size_t)y * (wide + 2 * pad) + x] =
        (unsigned char)((a[0] + a[1] + a[stride] + a[stride + 1] + 2) >> 2);
}

struct Match {
    const unsigned char *here, *there;  // where the block lies, in its frame and (standing still) in the other
    int stride, side, weight, oy, ox, ly, lx, py, px;
    int y, x, cost;

    __device__ int differ(const unsigned char* b) const {
        int sum = 0;
        for (int i = 0; i < side; ++i)
            for (int j = 0; j < side; ++j) {
                const int d = here[i * stride + j] - b[i * stride + j];
                sum += d < 0 ? -d : d;
            }
        return sum;
    }
    __device__ int penalty(int vy, int vx, int unit) const {
        const int dy = vy - unit * py, dx = vx - unit * px;
        const int apart = ((dy < 0 ? -dy : dy) + (dx < 0 ? -dx : dx)) * (2 / unit);
        return weight * (apart < CAP ? apart : CAP);
    }
    __device__ void attempt(int vy, int vx) {
        vy = clampi(vy, -oy, ly - oy);
        vx = clampi(vx, -ox, lx - ox);
        if (vy == y && vx == x) return;
        int c = penalty(vy, vx, 1);
        if (c >= cost) return;
        c += differ(there + vy * stride + vx);
        if (c < cost) { y = vy; x = vx; cost = c; }
    }
};

__device__ inline bool placed(Match& m, const unsigned char* planes, long long total, long long spot, int t, int other,
                              int count, int height, int width, int side, int weight, int i, int j) {
    if (other < 0 || other >= count) return false;
    const int pad = 2 * side;
    m.stride = width + 2 * pad;
    m.side = side;
    m.weight = weight;
    m.oy = pad + (i - 1) * (side / 2);
    m.ox = pad + (j - 1) * (side / 2);
    m.ly = height + 2 * pad - side;
    m.lx = width + 2 * pad - side;
    const size_t at = (size_t)m.oy * m.stride + m.ox;
    m.here = planes + t * total + spot + at;
    m.there = planes + other * total + spot + at;
    return true;
}

__device__ inline int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// blockIdx.z is 2 * frame + way; above (of `up` x `left` blocks, 0 at the smallest size) and field are indexed so, too.
extern "C" __global__ void search(const unsigned char* __restrict__ planes, const int* __restrict__ above,
                                  int* __restrict__ field, const short* __restrict__ found, long long total,
                                  long long spot, int first, int count, int d, int slots, int near, int height,
                                  int width, int rows, int columns, int up, int left, int side, int weight) {
    const int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y, n = blockIdx.z / 2, way = blockIdx.z % 2;
    Match m;
    const int t = first + n;
    if (j >= columns || !placed(m, planes, total, spot, t, t + (way ? d : -d), count, height, width, side, weight, i, j))
        return;
    above += (size_t)blockIdx.z * up * left * 5;
    const int* parent = above + (i / 2 * left + j / 2) * 5;
    m.py = clampi(up ? 2 * parent[0] : 0, -m.oy, m.ly - m.oy);
    m.px = clampi(up ? 2 * parent[1] : 0, -m.ox, m.lx - m.ox);
    m.y = m.py;
    m.x = m.px;
    m.cost = m.differ(m.there + m.y * m.stride + m.x);
    if (!up) {
        for (int y = -SPAN; y <= SPAN; ++y)
            for (int x = -SPAN; x <= SPAN; ++x) m.attempt(y, x);
    } else {
        for (int k = 1; k < 4; ++k) {
            const int* other = above + ((i + k / 2) / 2 * left + (j + k % 2) / 2) * 5;
            m.attempt(2 * other[0], 2 * other[1]);
        }
        m.attempt(0, 0);
        if (near) {
            const short* v = found + ((((size_t)n * slots + 2 * (d - 2) + way) * rows + i) * columns + j) * 3;
            m.attempt(floor_div(v[0] * d, 2 * (d - 1)), floor_div(v[1] * d, 2 * (d - 1)));
        }
        for (int round = 0; round < ROUNDS; ++round) {
            const int y = m.y, x = m.x;
            for (int k = 1; k < 9; k += 2) m.attempt(y + k / 3 - 1, x + k % 3 - 1);  // a cross
        }
    }
    int* to = field + (((size_t)blockIdx.z * rows + i) * columns + j) * 5;
    to[0] = m.y;
    to[1] = m.x;
    to[2] = m.cost;
    to[3] = m.py;
    to[4] = m.px;
}

// The neighbours' vectors; then, at full size (`found` is the result), the half samples around.
extern "C" __global__ void settle(const unsigned char* __restrict__ planes, const int* __restrict__ field,
                                  int* __restrict__ better, short* __restrict__ found, long long total,
                                  long long spot, int first, int count, int d, int slots, int last, int half,
                                  int height, int width, int rows, int columns, int side, int weight) {
    const int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y, n = blockIdx.z / 2, way = blockIdx.z % 2;
    if (j >= columns) return;
    Match m;
    const int t = first + n;
    short* to = found + ((((size_t)n * slots + 2 * (d - 1) + way) * rows + i) * columns + j) * 3;
    if (!placed(m, planes, total, spot, t, t + (way ? d : -d), count, height, width, side, weight, i, j)) {
        if (last) { to[0] = 0; to[1] = 0; to[2] = NONE; }
        return;
    }
    field += (size_t)blockIdx.z * rows * columns * 5;
    const int* own = field + (i * columns + j) * 5;
    m.y = own[0];
    m.x = own[1];
    m.cost = own[2];
    m.py = own[3];
    m.px = own[4];
    for (int k = 0; k < 4; ++k) {
        const int a = clampi(i + (k == 0 ? -1 : k == 1), 0, rows - 1), b = clampi(j + (k == 2 ? -1 : k == 3), 0, columns - 1);
        m.attempt(field[(a * columns + b) * 5], field[(a * columns + b) * 5 + 1]);
    }
    if (!last) {
        int* next = better + (((size_t)blockIdx.z * rows + i) * columns + j) * 5;
        next[0] = m.y;
        next[1] = m.x;
        return;
    }
    const size_t size = (size_t)(height + 4 * side) * m.stride;
    int y = 2 * m.y, x = 2 * m.x, cost = m.cost, differ = cost - m.penalty(m.y, m.x, 1);
    for (int round = 0; round < (half ? ROUNDS : 0); ++round) {
        const int cy = y, cx = x;
        for (int k = 1; k < 9; k += 2) {
            const int vy = clampi(cy + k / 3 - 1, -2 * m.oy, 2 * (m.ly - m.oy) + 1);
            const int vx = clampi(cx + k % 3 - 1, -2 * m.ox, 2 * (m.lx - m.ox) + 1);
            const int penalty = m.penalty(vy, vx, 2);
            if ((vy == y && vx == x) || penalty >= cost) continue;
            const int sum = m.differ(m.there + ((vy & 1) * 2 + (vx & 1)) * size + (vy >> 1) * m.stride + (vx >> 1));
            if (sum + penalty < cost) { y = vy; x = vx; cost = sum + penalty; differ = sum; }
        }
    }
    to[0] = (short)y;
    to[1] = (short)x;
    to[2] = (short)(differ * 64 / (side * side));
}
