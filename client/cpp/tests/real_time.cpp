// Counts what a sender's thread allocates, and times its calls, against a real server.
//
//   real_time HOST:PORT MODEL HEIGHT WIDTH FRAMES POLICY(every|newest) [poll|callback]
//
// Prints "frames N allocations N acquire_us MAX submit_us P50 P99 MAX".
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "cineflow_client.hpp"

namespace {
thread_local bool counting = false;
thread_local std::size_t allocations = 0;
void count() {
  if (counting) ++allocations;
}
}  // namespace

// The allocator's hook: every allocation of the program passes here, also those of libraries.
#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(std::size_t items, std::size_t size) {
  count();
  return __libc_calloc(items, size);
}
void* realloc(void* old, std::size_t size) {
  count();
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** found, std::size_t alignment, std::size_t size) {
  count();
  *found = __libc_memalign(alignment, size);
  return *found == nullptr ? 12 : 0;
}
}
#endif
#endif

using namespace cineflow_client;
using Clock = std::chrono::steady_clock;

int main(int count_, char** arguments) {
  if (count_ < 7) return 2;
  const int frames = std::atoi(arguments[5]);
  const bool newest = std::strcmp(arguments[6], "newest") == 0;
  const bool callback = count_ > 7 && std::strcmp(arguments[7], "callback") == 0;
  std::atomic<int> results{0}, errors{0};
  try {
    Client client(arguments[1]);
    StreamOptions options;
    options.size = {std::atoi(arguments[3]), std::atoi(arguments[4])};
    options.policy = newest ? Policy::kNewest : Policy::kEvery;
    if (callback) {
      options.on_outcome = [&](const Outcome& outcome) {
        ++(outcome.error && outcome.code() != Code::kFrameDropped ? errors : results);
      };
    }
    Stream stream = client.stream(arguments[2], options);
    std::vector<double> submit_us(static_cast<std::size_t>(frames));
    double acquire_us = 0;
    Outcome outcome;
    int sent = 0;
    const int warm = 64;
    for (int t = 0; t < frames + warm; ++t) {
      counting = t >= warm;
      const auto before = Clock::now();
      Slot slot = stream.acquire(newest ? 0 : 10.0);
      const auto acquired = Clock::now();
      if (!slot) {
        std::fprintf(stderr, "no slot: %s\n", name(slot.code()));
        return 1;
      }
      for (std::int64_t y = 0; y < options.size[0]; ++y) {
        std::memset(
            static_cast<char*>(slot.data()) + static_cast<std::size_t>(y) * slot.row_stride(),
            static_cast<int>(y * 7 + t) & 255, static_cast<std::size_t>(options.size[1]));
      }
      const auto written = Clock::now();
      const Submitted submitted = slot.submit();
      const auto done = Clock::now();
      if (submitted.code != Code::kOk) return 1;
      ++sent;
      if (!callback) {
        while (stream.poll(&outcome)) {
          ++(outcome.error && outcome.code() != Code::kFrameDropped ? errors : results);
        }
      }
      counting = false;
      if (t >= warm) {
        const auto us = [](auto span) {
          return std::chrono::duration<double, std::micro>(span).count();
        };
        submit_us[static_cast<std::size_t>(t - warm)] = us(done - written);
        if (newest) acquire_us = std::max(acquire_us, us(acquired - before));
      }
      if (newest) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    while (results + errors < sent) {
      if (callback) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } else if (stream.next(&outcome, 10)) {
        ++(outcome.error && outcome.code() != Code::kFrameDropped ? errors : results);
      } else {
        break;
      }
    }
    stream.close();
    std::sort(submit_us.begin(), submit_us.end());
    const std::size_t last = submit_us.size() - 1;
    std::printf(
        "frames %d results %d errors %d allocations %zu acquire_us %.1f submit_us %.2f %.2f %.2f\n",
        sent, results.load(), errors.load(), allocations, acquire_us, submit_us[last / 2],
        submit_us[last * 99 / 100], submit_us[last]);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name(error.code()), error.what());
    return 1;
  }
  return 0;
}
