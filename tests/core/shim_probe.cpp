// Small kernels with known faults, and what the shim reports. Prints one line per probe.
#include <cstdio>

#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "testing.h"

namespace {

float* shared() { return reinterpret_cast<float*>(cineflow::shared_memory); }

/// Each thread passes its number to the next one, with or without a barrier in between.
__global__ void rotate(float* out, bool barrier) {
  shared()[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  out[threadIdx.x] = shared()[(threadIdx.x + 1) % blockDim.x];
}

__global__ void barrier_for_half() {
  if (threadIdx.x < blockDim.x / 2) __syncthreads();
}

__global__ void count(int* blocks) {
  if (threadIdx.x + threadIdx.y + threadIdx.z == 0) ++*blocks;
}

__global__ void step_beyond(float* out) { *out = shared()[blockDim.x]; }

void print(const char* probe, const cineflow::Status& status) {
  std::printf("%s: %s\n", probe, status.ok() ? "ok" : status.got);
}

cineflow::Grid grid_of(dim3 blocks, dim3 threads, std::size_t shared_bytes = 0) {
  return {blocks, threads, shared_bytes};
}

void print_rotation(const char* probe, bool barrier, bool reversed) {
  float out[4];
  cuda_shim_reverse_threads(reversed);
  cineflow::launch("rotate", grid_of(1, 4, 16), 0, nullptr, rotate, static_cast<float*>(out),
                   barrier);
  cuda_shim_reverse_threads(false);
  std::printf("%s: %g %g %g %g\n", probe, out[0], out[1], out[2], out[3]);
}

}  // namespace

int main(int arguments, char**) {
  using cineflow::launch;
  print_rotation("barrier", true, false);
  print_rotation("barrier, reversed", true, true);
  print_rotation("no barrier", false, false);
  print_rotation("no barrier, reversed", false, true);
  print("parted", launch("part", grid_of(1, 8), 0, nullptr, barrier_for_half));
  int blocks = 0;
  print("grid", launch("count", grid_of(dim3(3, 2, 2), dim3(4, 2, 2)), 0, nullptr, count, &blocks));
  std::printf("blocks: %d\n", blocks);
  print("threads", launch("count", grid_of(1, 1025), 0, nullptr, count, &blocks));
  print("rows", launch("count", grid_of(dim3(1, 65536), 1), 0, nullptr, count, &blocks));
  print("nothing", launch("count", grid_of(0, 1), 0, nullptr, count, &blocks));
  print("shared", launch("count", grid_of(1, 1, 49 * 1024), 0, nullptr, count, &blocks));
  std::printf("blocks: %d\n", blocks);
  float beyond;
  if (arguments > 1) launch("step", grid_of(1, 4, 16), 0, nullptr, step_beyond, &beyond);
  return 0;
}
