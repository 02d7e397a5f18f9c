// Small kernels with known faults, and what the shim reports. Prints one line per probe.
#include <cstdio>

#include "cuda/launch.h"
#include "cuda/shared_memory.h"
#include "cuda/tensor_cores.h"
#include "cuda_pipeline_primitives.h"
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

/// Each thread copies a number asynchronously, and reads the next one's. What it waits for:
enum Waits { kNothing, kOneCommit, kAllCommits };
__global__ void copy_number(const float* from, float* out, Waits waits) {
  __pipeline_memcpy_async(shared() + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_commit();
  __pipeline_commit();  // of nothing
  if (waits == kOneCommit) __pipeline_wait_prior(1);
  if (waits == kAllCommits) __pipeline_wait_prior(0);
  __syncthreads();
  out[threadIdx.x] = shared()[(threadIdx.x + 1) % blockDim.x];
}

/// As copy_number, with zeroes for the number of thread 0, and a copy into memory that is still
/// read by threads that are behind.
__global__ void copy_too_early(const float* from, float* out, bool barrier) {
  __pipeline_memcpy_async(shared() + threadIdx.x, from + threadIdx.x, 4, threadIdx.x == 0 ? 4 : 0);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  out[threadIdx.x] = shared()[(threadIdx.x + 1) % blockDim.x];
  if (barrier) __syncthreads();
  __pipeline_memcpy_async(shared() + threadIdx.x, from + threadIdx.x, 4);
}

__global__ void copy_misaligned(const float* from) {
  __pipeline_memcpy_async(shared() + 1, from + 1, 16);
}

/// Numbers that a warp's threads hold after an identity is loaded and multiplied by itself.
__global__ void square_identity(float* out, bool all) {
  auto* rows = reinterpret_cast<cineflow::Half*>(shared());
  if (threadIdx.x == 0) {
    for (int at = 0; at < 16 * 16; ++at)
      rows[at] = cineflow::from_float<cineflow::Half>(at % 17 == 0);
  }
  __syncthreads();
  const unsigned lane = threadIdx.x % 32;
  std::uint32_t a[4];
  if (all || threadIdx.x < 16) {
    // Matrices of rows 0 to 7 and 8 to 15 of the left half, then of the right half.
    cineflow::load_transposed(a, rows + 16 * (lane % 16) + lane / 16 * 8);
  } else {
    __syncthreads();
  }
  float sums[4] = {};
  // a holds A's transpose, which is A; registers 0 and 1 are columns 0 to 7 of B.
  const std::uint32_t swapped[4] = {a[0], a[2], a[1], a[3]};
  cineflow::multiply<cineflow::Half>(sums, swapped, a[0], a[1]);
  for (int index = 0; index < 4; ++index) {
    const unsigned row = lane / 4 + index / 2 * 8;
    out[row * 8 + lane % 4 * 2 + index % 2] = sums[index];
  }
}

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

void print_copies(const char* probe, Waits waits) {
  const float numbers[4] = {5, 6, 7, 8};
  float out[4];
  cineflow::launch("copy", grid_of(1, 4, 16), 0, nullptr, copy_number,
                   static_cast<const float*>(numbers), static_cast<float*>(out), waits);
  std::printf("%s: %g %g %g %g\n", probe, out[0], out[1], out[2], out[3]);
}

void print_early_copies(const char* probe, bool barrier) {
  const float numbers[4] = {5, 6, 7, 8};
  float out[4];
  cineflow::launch("copy", grid_of(1, 4, 16), 0, nullptr, copy_too_early,
                   static_cast<const float*>(numbers), static_cast<float*>(out), barrier);
  std::printf("%s: %g %g %g %g\n", probe, out[0], out[1], out[2], out[3]);
}

void print_square(const char* probe, unsigned threads, bool all) {
  float out[16 * 8] = {};
  const cineflow::Status status = cineflow::launch("square", grid_of(1, threads, 512), 0, nullptr,
                                                   square_identity, static_cast<float*>(out), all);
  bool identity = true;
  for (int at = 0; at < 16 * 8; ++at) identity = identity && out[at] == (at % 9 == 0 && at < 72);
  print(probe, status);
  if (status.ok()) std::printf("identity: %s\n", identity ? "yes" : "no");
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
  print_copies("copy, no wait", kNothing);
  print_copies("copy, one wait", kOneCommit);
  print_copies("copy, all waits", kAllCommits);
  print_early_copies("early copy", false);
  print_early_copies("early copy, barrier", true);
  const float numbers[8] = {};
  print("misaligned", launch("copy", grid_of(1, 1, 64), 0, nullptr, copy_misaligned,
                             static_cast<const float*>(numbers)));
  print_square("warp", 32, true);
  print_square("parted warp", 32, false);
  print_square("part of a warp", 16, true);
  float beyond;
  if (arguments > 1) launch("step", grid_of(1, 4, 16), 0, nullptr, step_beyond, &beyond);
  return 0;
}
