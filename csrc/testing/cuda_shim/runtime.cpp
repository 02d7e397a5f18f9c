// Runs launches: one block after another. Each thread is a fiber that stops at barriers.
//
// The shim is as strict as a device. It checks the limits of a launch. Shared memory holds garbage
// at the start of a block, and ends where the launch says; AddressSanitizer reports accesses after
// the end. A barrier that some threads of a block do not reach is an error, and so is a warp's
// instruction that some of its threads do not reach. The order of threads can be reversed: if the
// result depends on the order, a barrier is missing.
#include <cstring>
#include <mutex>
#include <vector>

#include "cuda_pipeline_primitives.h"
#include "cuda_runtime.h"
#include "fiber.h"
#include "testing.h"
#include "warp_matrix.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace cineflow {

constexpr std::size_t kSharedBytes = 48 * 1024;  // what every device provides by default

// The definition behind core/cuda/shared_memory.h.
alignas(16) float4 shared_memory[kSharedBytes / sizeof(float4)];

}  // namespace cineflow

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace {

constexpr int kDevices = 2;
bool has_context[kDevices];  // a device's primary context exists; its handle is the address
thread_local std::vector<bool*> contexts;  // the last one is current
std::mutex one_launch;                     // the variables above belong to the whole device
cudaError_t last_error = cudaSuccess;
cuda_shim::Fiber* running = nullptr;

struct {
  std::int64_t launches = 0;
  std::uintptr_t stream = 0;
  cudaLaunchConfig_t last;
  int device = 0;
  cudaError_t failure = cudaSuccess;
  bool reversed = false;
  std::int64_t only_row = -1;
} control;

bool is_allowed(const cudaLaunchConfig_t& launch) {
  const dim3 grid = launch.gridDim;
  const dim3 block = launch.blockDim;
  const auto within = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
  return within(grid.x, 0x7fffffffu) && within(grid.y, 65535) && within(grid.z, 65535) &&
         within(block.x, 1024) && within(block.y, 1024) && within(block.z, 64) &&
         within(block.x * block.y * block.z, 1024);
}

/// Fills what the launch requested with garbage (NaN as f32). The rest must not be accessed.
void lend_shared_memory(std::size_t bytes) {
  std::memset(cineflow::shared_memory, 0xff, bytes);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(cineflow::shared_memory, cineflow::kSharedBytes);
  ASAN_POISON_MEMORY_REGION(reinterpret_cast<char*>(cineflow::shared_memory) + bytes,
                            cineflow::kSharedBytes - bytes);
#endif
}

void return_shared_memory() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(cineflow::shared_memory, cineflow::kSharedBytes);
#endif
}

/// The block that is running.
struct Block {
  void (*kernel)(const void*);
  const void* context;
  unsigned threads;
  unsigned started;
  unsigned finished;
  bool faulty;  // a thread asked for what a device cannot do
} block;

/// Asynchronous copies of one thread. `commit` numbers the group that a copy belongs to.
struct Copies {
  struct Copy {
    void* target;
    const void* source;
    std::size_t bytes, zeroes, commit;
  };
  std::vector<Copy> pending;
  std::size_t commits = 0;
};
std::vector<Copies> copies;  // of each thread of the block

/// What one thread passed to its warp's instructions: the last and the one before, because threads
/// that are behind still read the last when those ahead pass the next.
struct Passed {
  cuda_shim::WarpOperands operands[2];
  std::size_t numbers[2] = {};  // of the instructions, from 1 on
  std::size_t count = 0;
};
std::vector<Passed> passed;  // by each thread of the block
unsigned current = 0;        // the running thread's index in its block

/// Makes `turn` the running thread, in the order that the test chose.
void enter_thread(unsigned turn) {
  const unsigned index = control.reversed ? block.threads - 1 - turn : turn;
  current = index;
  threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y,
               index / blockDim.x / blockDim.y};
}

/// What a fiber runs: one thread after another, until one stops at a barrier or all have run. A
/// kernel without barriers therefore needs only one fiber.
void run_threads(const void*) {
  while (block.started < block.threads) {
    enter_thread(block.started++);
    block.kernel(block.context);
    ++block.finished;
  }
}

/// Returns false if some threads of the block did not reach a barrier, or did what a device cannot.
bool run_block(std::vector<cuda_shim::Fiber>& fibers) {
  block.started = 0;
  block.finished = 0;
  block.faulty = false;
  copies.assign(block.threads, {});
  passed.assign(block.threads, {});
  unsigned used = 0;
  while (block.started < block.threads) {
    running = &fibers[used++];
    running->prepare(run_threads, nullptr);
    running->resume();
  }
  // Now each fiber holds one thread, in the same order.
  while (block.finished == 0) {
    for (unsigned turn = 0; turn < block.threads; ++turn) {
      enter_thread(turn);
      running = &fibers[turn];
      running->resume();
    }
  }
  return block.finished == block.threads && !block.faulty;
}

cudaError_t run_grid(const cudaLaunchConfig_t& launch, void (*thread)(const void*),
                     const void* context) {
  if (control.failure != cudaSuccess) return std::exchange(control.failure, cudaSuccess);
  if (!is_allowed(launch)) return cudaErrorInvalidConfiguration;
  if (launch.dynamicSmemBytes > cineflow::kSharedBytes) return cudaErrorLaunchOutOfResources;
  gridDim = launch.gridDim;
  blockDim = launch.blockDim;
  block.kernel = thread;
  block.context = context;
  block.threads = blockDim.x * blockDim.y * blockDim.z;
  std::vector<cuda_shim::Fiber> fibers(block.threads);
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z) {
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
      if (control.only_row >= 0 && control.only_row != blockIdx.y) continue;
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        return_shared_memory();
        lend_shared_memory(launch.dynamicSmemBytes);
        const bool whole = run_block(fibers);
        return_shared_memory();
        if (!whole) return cudaErrorLaunchFailure;
      }
    }
  }
  return cudaSuccess;
}

// The driver's functions, which cudaGetDriverEntryPointByVersion finds.

int driver_init(unsigned) { return cudaSuccess; }

int device_get(int* device, int index) {
  if (index < 0 || index >= kDevices) return cudaErrorInvalidDevice;
  *device = index;
  return cudaSuccess;
}

int primary_context_retain(void** context, int device) {
  has_context[device] = true;
  *context = &has_context[device];
  return cudaSuccess;
}

int context_get_current(void** context) {
  *context = contexts.empty() ? nullptr : contexts.back();
  return cudaSuccess;
}

int context_push_current(void* context) {
  contexts.push_back(static_cast<bool*>(context));
  return cudaSuccess;
}

int context_pop_current(void** context) {
  *context = contexts.back();
  contexts.pop_back();
  return cudaSuccess;
}

/// The device of the calling thread's context, which exists afterwards.
int device_in_use() {
  if (contexts.empty()) context_push_current(&has_context[0]);
  *contexts.back() = true;
  return static_cast<int>(contexts.back() - has_context);
}

}  // namespace

void __syncthreads() { running->leave(); }

void __pipeline_memcpy_async(void* target, const void* source, std::size_t bytes,
                             std::size_t zeroes) {
  const auto misaligned = [bytes](const void* address) {
    return reinterpret_cast<std::uintptr_t>(address) % bytes != 0;
  };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || misaligned(target) || misaligned(source)) {
    block.faulty = true;
    return;
  }
  std::memset(target, 0xff, bytes);
  Copies& mine = copies[current];
  mine.pending.push_back({target, source, bytes, zeroes, mine.commits});
}

void __pipeline_commit() { ++copies[current].commits; }

void __pipeline_wait_prior(std::size_t count) {
  Copies& mine = copies[current];
  std::size_t done = 0;
  for (const Copies::Copy& copy : mine.pending) {
    if (copy.commit + count >= mine.commits) break;
    std::memcpy(copy.target, copy.source, copy.bytes - copy.zeroes);
    std::memset(static_cast<char*>(copy.target) + copy.bytes - copy.zeroes, 0, copy.zeroes);
    ++done;
  }
  mine.pending.erase(mine.pending.begin(),
                     mine.pending.begin() + static_cast<std::ptrdiff_t>(done));
}

int cuda_shim::exchange(const WarpOperands& mine, WarpOperands (&all)[32]) {
  const unsigned thread = current;
  const unsigned first = thread / 32 * 32;
  Passed& own = passed[thread];
  const std::size_t number = ++own.count;
  const bool aligned = reinterpret_cast<std::uintptr_t>(mine.row) % 16 == 0;
  own.operands[number % 2] = mine;
  own.numbers[number % 2] = number;
  running->leave();  // the other threads come here
  bool together = first + 32 <= block.threads && aligned;
  for (unsigned lane = 0; lane < 32 && together; ++lane) {
    const Passed& other = passed[first + lane];
    together = other.numbers[number % 2] == number && other.operands[number % 2].kind == mine.kind;
    all[lane] = other.operands[number % 2];
  }
  if (!together) block.faulty = true;
  return together ? static_cast<int>(thread - first) : -1;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  struct Entry {
    const char* name;
    void* function;
  };
  const Entry entries[] = {
      {"cuInit", reinterpret_cast<void*>(driver_init)},
      {"cuDeviceGet", reinterpret_cast<void*>(device_get)},
      {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(primary_context_retain)},
      {"cuCtxGetCurrent", reinterpret_cast<void*>(context_get_current)},
      {"cuCtxPushCurrent", reinterpret_cast<void*>(context_push_current)},
      {"cuCtxPopCurrent", reinterpret_cast<void*>(context_pop_current)},
  };
  *result = cudaDriverEntryPointSymbolNotFound;
  for (const Entry& entry : entries) {
    if (std::strcmp(entry.name, name) != 0) continue;
    *function = entry.function;
    *result = cudaDriverEntryPointSuccess;
  }
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorLaunchOutOfResources:
      return "cudaErrorLaunchOutOfResources";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "cudaErrorUnknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure: threads that were not together, or a wrong address";
  }
  return "unknown error";
}

cudaError_t cuda_shim::run(const cudaLaunchConfig_t& launch, void (*thread)(const void*),
                           const void* context) {
  const std::lock_guard<std::mutex> alone(one_launch);
  ++control.launches;
  control.stream = reinterpret_cast<std::uintptr_t>(launch.stream);
  control.last = launch;
  control.device = device_in_use();
  last_error = run_grid(launch, thread, context);
  return last_error;
}

std::int64_t cuda_shim_launches() { return control.launches; }
std::uintptr_t cuda_shim_stream() { return control.stream; }
void cuda_shim_last_launch(std::int64_t (*numbers)[7]) {
  const auto& [grid, block, shared_bytes, stream, attributes, count] = control.last;
  const std::int64_t found[7] = {
      grid.x, grid.y, grid.z, block.x, block.y, block.z, static_cast<std::int64_t>(shared_bytes)};
  std::memcpy(*numbers, found, sizeof(found));
}
int cuda_shim_device() { return control.device; }
int cuda_shim_current_device() {
  return contexts.empty() ? -1 : static_cast<int>(contexts.back() - has_context);
}
void cuda_shim_set_device(int device) {
  has_context[device] = true;
  contexts.assign(1, &has_context[device]);
}
bool cuda_shim_has_context(int device) { return has_context[device]; }
void cuda_shim_forget_context(int device) { has_context[device] = false; }
void cuda_shim_only_row(std::int64_t row) { control.only_row = row; }
void cuda_shim_fail_next(int error) { control.failure = static_cast<cudaError_t>(error); }
void cuda_shim_reverse_threads(bool reversed) { control.reversed = reversed; }
