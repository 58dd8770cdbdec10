// Sums over the samples of a frame, in a fixed order, so that a result is the same in every run.
#pragma once

#ifndef THREADS
#define THREADS 256
#endif

// The sum of `mine` over a block of THREADS threads; every thread must call it.  Valid in thread 0.
template <class T> __device__ inline T block_sum(T mine, T* shared) {
    const int i = threadIdx.x;
    shared[i] = mine;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half >>= 1) {
        if (i < half) shared[i] += shared[i + half];
        __syncthreads();
    }
    return shared[0];
}
