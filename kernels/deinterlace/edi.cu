#include "common.cuh"

#define HELD 20000

// What the search sees of a sample: 8 bits.
__device__ inline int seen(SAMPLE v, int shift) {
#if SAMPLE_IS_FLOAT
    const float r = rintf(v);
    return (int)(r < 0.0f ? 0.0f : (r > 255.0f ? 255.0f : r));
#else
    return (int)v >> shift;
#endif
}

__device__ inline int absolute(int v) { return v < 0 ? -v : v; }

// One block per missing line, one thread per direction: thread u holds the least cost of a path that leans by
// u - reach at x.  `moves` keeps, for every sample and direction, where its path came from.
extern "C" __global__ void edi(const SAMPLE* __restrict__ frames, SAMPLE* __restrict__ out, signed char* __restrict__ moves,
                               int start, int height, int width, int first, int step, int reach, int turn, int tilt,
                               int shift, int peak) {
    __shared__ int path[2][34];
    __shared__ int here;
    const int i = blockIdx.x, n = blockIdx.y, u = threadIdx.x, lean = u - reach, directions = 2 * reach + 1;
    const int parity = step == 2 ? first ^ (n & 1) : first;
    const SAMPLE* field = frames + ((size_t)(start + n / step) * height + parity) * width;
    SAMPLE* to = out + (size_t)n * height * width;
    const int kept = (height + 1 - parity) / 2, y = 2 * i + 1 - parity;
    if (i < kept)
        for (int x = u; x < width; x += 32) to[(size_t)(2 * i + parity) * width + x] = field[(size_t)2 * i * width + x];
    if (y >= height) return;
    const SAMPLE* top = field + (size_t)2 * clampi(i - parity - 1, 0, kept - 1) * width;
    const SAMPLE* above = field + (size_t)2 * clampi(i - parity, 0, kept - 1) * width;
    const SAMPLE* below = field + (size_t)2 * clampi(i - parity + 1, 0, kept - 1) * width;
    const SAMPLE* bottom = field + (size_t)2 * clampi(i - parity + 2, 0, kept - 1) * width;
    auto look = [&](const SAMPLE* line, int x) { return seen(line[clampi(x, 0, width - 1)], shift); };
    auto slope = [&](int x) {
        const int a = look(above, x + lean), b = look(below, x - lean);
        return absolute(a - b) + absolute(look(top, x + 3 * lean) - a) + absolute(b - look(bottom, x - 3 * lean));
    };
    signed char* came = moves + ((size_t)n * gridDim.x + i) * width * 32;
    if (u < 2) path[u][0] = HELD;
    for (int k = u + 1; k < 34; k += 32) path[0][k] = path[1][k] = HELD;
    int ring[5], window = 0;
    for (int k = 0; k < 4; ++k) window += ring[k] = slope(k - 2);
    ring[4] = 0;
    int oldest = 4, now = 0;
    __syncthreads();
    for (int x = 0; x < width; ++x) {
        const int newest = slope(x + 2);
        window += newest - ring[oldest];
        ring[oldest] = newest;
        oldest = oldest == 4 ? 0 : oldest + 1;
        if (u < directions) {
            int cost = window + tilt * absolute(lean);
            cost += absolute(look(above, x + lean) + look(below, x - lean) - look(above, x) - look(below, x));
            signed char move = 0;
            if (x > 0) {
                int best = HELD;
                const int* last = path[1 - now] + 1;
                for (int k = 0; k < directions; ++k) best = last[k] < best ? last[k] : best;
                // Beyond the outermost directions the cost is HELD, and stays so.
                const int stay = last[u] - best < HELD ? last[u] - best : HELD;
                const int low = u == 0 || last[u - 1] - best > HELD ? HELD : last[u - 1] - best;
                const int up = u == directions - 1 || last[u + 1] - best > HELD ? HELD : last[u + 1] - best;
                const int turned = (low <= up ? low : up) + turn;
                if (turned < stay) move = low <= up ? -1 : 1;
                cost += turned < stay ? turned : stay;
            }
            path[now][u + 1] = cost;
            came[(size_t)x * 32 + u] = move;
        }
        now = 1 - now;
        __syncthreads();
    }
    if (u == 0) {
        const int* last = path[1 - now] + 1;
        here = 0;
        for (int k = 1; k < directions; ++k)
            if (last[k] < last[here]) here = k;
        for (int x = width - 1; x >= 0; --x) {
            const signed char move = came[(size_t)x * 32 + here];
            came[(size_t)x * 32] = (signed char)here;  // from here on, what was chosen
            here += move;
        }
    }
    __syncthreads();
    auto sample = [&](const SAMPLE* line, int x) { return (wide)line[clampi(x, 0, width - 1)]; };
    for (int x = u; x < width; x += 32) {
        const int k = came[(size_t)x * 32] - reach;
        const wide v = 9 * (sample(above, x + k) + sample(below, x - k)) - (sample(top, x + 3 * k) + sample(bottom, x - 3 * k));
#if SAMPLE_IS_FLOAT
        to[(size_t)y * width + x] = v * (1.0f / 16.0f);
#else
        to[(size_t)y * width + x] = to_sample((v + 8) >> 4, peak);
#endif
    }
}
