// Scratch memory for one call. It is kept for the next call.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace cineflow::python {

/// Lends the calling thread's buffer, which grows to the largest request and is freed when the
/// thread ends. Use it in the thread that created it.
class Workspace {
 public:
  void* reserve(std::int64_t bytes) {
    thread_local Buffer buffer;
    if (buffer.size < bytes) {
      constexpr std::int64_t kAlignment = 64;
      const std::int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      buffer = Buffer();  // free it first; it also stays empty if the allocation fails
      buffer.memory.reset(std::aligned_alloc(kAlignment, rounded));
      if (buffer.memory == nullptr) throw std::bad_alloc();
      buffer.size = rounded;
    }
    return buffer.memory.get();
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  struct Buffer {
    std::unique_ptr<void, Free> memory;
    std::int64_t size = 0;
  };
};

}  // namespace cineflow::python
