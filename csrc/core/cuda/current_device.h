// Makes a GPU current in the calling thread for a while.
//
// Problem: cudaSetDevice cannot be undone in a thread that has not used CUDA: to set the device
// back to 0 creates a context on GPU 0, which takes its memory.
//
// Solution: the driver's stack of contexts. The GPU's primary context, which all libraries of the
// process share, is pushed, and popped afterwards. A thread without a context has none again.
#pragma once

#include <cuda_runtime.h>

#include <atomic>

namespace cineflow {

/// The functions of the driver that are used here, found without linking it. A CUresult has the
/// number of the same cudaError_t.
struct ContextFunctions {
  using Context = void*;

  int (*init)(unsigned) = nullptr;
  int (*device)(int* device, int index) = nullptr;
  int (*retain)(Context* context, int device) = nullptr;
  int (*current)(Context* context) = nullptr;
  int (*push)(Context context) = nullptr;
  int (*pop)(Context* context) = nullptr;
  cudaError_t error = cudaSuccess;

  ContextFunctions() noexcept {
    find("cuInit", init);
    find("cuDeviceGet", device);
    find("cuDevicePrimaryCtxRetain", retain);
    find("cuCtxGetCurrent", current);
    find("cuCtxPushCurrent", push);
    find("cuCtxPopCurrent", pop);
    if (error == cudaSuccess) error = static_cast<cudaError_t>(init(0));
  }

 private:
  template <typename Function>
  void find(const char* name, Function*& function) noexcept {
    constexpr unsigned kVersion = 12000;  // of the functions
    if (error != cudaSuccess) return;
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    error = cudaGetDriverEntryPointByVersion(name, &found, kVersion, cudaEnableDefault, &result);
    if (error == cudaSuccess && result != cudaDriverEntryPointSuccess) {
      error = cudaErrorInsufficientDriver;
    }
    function = reinterpret_cast<Function*>(found);
  }
};

inline const ContextFunctions& context_functions() noexcept {
  static const ContextFunctions functions;
  return functions;
}

/// Makes a GPU current while it lives. Afterwards the thread's own context is current, if it had
/// one.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index) noexcept : error_(enter(index)) {}
  ~CurrentDevice() {
    ContextFunctions::Context popped;
    if (pushed_) context_functions().pop(&popped);
  }

  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  cudaError_t error() const noexcept { return error_; }

 private:
  cudaError_t enter(int index) noexcept {
    const ContextFunctions& driver = context_functions();
    if (driver.error != cudaSuccess) return driver.error;
    ContextFunctions::Context wanted = nullptr;
    int result = primary(driver, index, &wanted);
    ContextFunctions::Context before = nullptr;
    if (result == 0) result = driver.current(&before);
    if (result != 0 || before == wanted) return static_cast<cudaError_t>(result);
    result = driver.push(wanted);
    pushed_ = result == 0;
    return static_cast<cudaError_t>(result);
  }

  /// The primary context of a GPU. It is retained once and kept, as the CUDA runtime does.
  static int primary(const ContextFunctions& driver, int index,
                     ContextFunctions::Context* context) noexcept {
    constexpr int kDevices = 64;
    static std::atomic<ContextFunctions::Context> kept[kDevices];
    const bool fits = index >= 0 && index < kDevices;
    if (fits && (*context = kept[index].load()) != nullptr) return 0;
    int device = 0;
    int result = driver.device(&device, index);
    if (result == 0) result = driver.retain(context, device);
    if (result == 0 && fits) kept[index].store(*context);
    return result;
  }

  bool pushed_ = false;
  cudaError_t error_;
};

}  // namespace cineflow
