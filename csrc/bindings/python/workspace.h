// Scratch memory of one call, kept from call to call.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace cineflow::python {

/// Lends the calling thread's buffer; it grows to the largest request and is freed with the
/// thread. Must be used by the thread that made it.
class Workspace {
 public:
  void* reserve(std::int64_t bytes) {
    thread_local Buffer buffer;
    if (buffer.size < bytes) {
      constexpr std::int64_t kAlignment = 64;
      const std::int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      buffer = Buffer();  // before more is asked for; and should there be no more, it is empty
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
