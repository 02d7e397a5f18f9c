// A separate stack for CUDA threads, which can be left at a barrier and entered again.
//
// Usage: fiber.prepare(body, context); fiber.resume();  // body calls fiber.leave() at a barrier
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_shim {

class Fiber {
 public:
  /// The next resume() runs `body(context)` from its beginning.
  void prepare(void (*body)(const void*), const void* context) {
    body_ = body;
    context_ = context;
    done_ = false;
    if (stack_ == nullptr) stack_.reset(new char[kStackBytes]);
    getcontext(&inside_);
    inside_.uc_stack.ss_sp = stack_.get();
    inside_.uc_stack.ss_size = kStackBytes;
    inside_.uc_link = nullptr;
    // makecontext passes only ints, so the pointer is split in two.
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  }

  /// Runs up to the next leave(), or to the end.
  void resume() {
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_.get(), kStackBytes);
#endif
    swapcontext(&outside_, &inside_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  }

  /// Returns to the caller of resume(). This call returns at the next resume().
  void leave() {
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(done_ ? nullptr : &fake_stack, outside_stack_, outside_bytes_);
#endif
    swapcontext(&inside_, &outside_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, &outside_stack_, &outside_bytes_);
#endif
  }

 private:
  static constexpr std::size_t kStackBytes = 128 * 1024;

  static void enter(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &self->outside_stack_, &self->outside_bytes_);
#endif
    self->body_(self->context_);
    self->done_ = true;
    self->leave();
  }

  std::unique_ptr<char[]> stack_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  [[maybe_unused]] const void* outside_stack_ = nullptr;
  [[maybe_unused]] std::size_t outside_bytes_ = 0;
  void (*body_)(const void*) = nullptr;
  const void* context_ = nullptr;
  bool done_ = false;
};

}  // namespace cuda_shim
