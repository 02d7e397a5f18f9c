// Counts what a sender's thread allocates, and times its calls, against a real server.
//
//   real_time HOST:PORT MODEL HEIGHT WIDTH FRAMES POLICY(every|newest|deadline) [poll|callback]
//             [uint8|float32] [auto|grpc]
//
// Prints "frames N results N errors N allocations N acquire_us MAX submit_us P50 P99 MAX
// submit_cpu_us P50 P99 MAX direct 0|1". The last ones are the thread's own time, in which other
// programs do not show.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
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

namespace {

/// Processor time of this thread, us.
double cpu_us() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e6 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_nsec);
}

void fill(const Slot& slot, const StreamOptions& options, int t) {
  for (std::int64_t y = 0; y < options.size[0]; ++y) {
    auto* row = static_cast<char*>(slot.data()) + static_cast<std::size_t>(y) * slot.row_stride();
    const int level = static_cast<int>(y * 7 + t) & 255;
    const auto width = static_cast<std::size_t>(options.size[1]);
    if (options.dtype == DataType::kUint8) {
      std::memset(row, level, width);
    } else {
      std::fill_n(reinterpret_cast<float*>(row), width, static_cast<float>(level));
    }
  }
}

void print_percentiles(const char* what, std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  const std::size_t last = times.size() - 1;
  std::printf(" %s %.2f %.2f %.2f", what, times[last / 2], times[last * 99 / 100], times[last]);
}

}  // namespace

int main(int count_, char** arguments) {
  if (count_ < 7) return 2;
  const int frames = std::atoi(arguments[5]);
  const auto said = [&](int position, const char* word) {
    return count_ > position && std::strcmp(arguments[position], word) == 0;
  };
  const bool newest = !said(6, "every");
  const bool callback = said(7, "callback");
  std::atomic<int> results{0}, errors{0};
  try {
    Client client(arguments[1]);
    StreamOptions options;
    options.size = {std::atoi(arguments[3]), std::atoi(arguments[4])};
    options.policy = newest ? Policy::kNewest : Policy::kEvery;
    if (said(6, "deadline")) {
      options.policy = Policy::kDeadline;
      options.deadline_ms = 20;
    }
    if (said(8, "float32")) options.dtype = DataType::kFloat32;
    if (said(9, "grpc")) options.transport = Transport::kGrpc;
    if (callback) {
      options.on_outcome = [&](const Outcome& outcome) {
        ++(outcome.error && outcome.code() != Code::kFrameDropped ? errors : results);
      };
    }
    Stream stream = client.stream(arguments[2], options);
    std::vector<double> submit_us(static_cast<std::size_t>(frames)), submit_cpu_us = submit_us;
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
      fill(slot, options, t);
      const auto written = Clock::now();
      const double cpu_before_us = cpu_us();
      const Submitted submitted = slot.submit();
      const double cpu_done_us = cpu_us();
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
        submit_cpu_us[static_cast<std::size_t>(t - warm)] = cpu_done_us - cpu_before_us;
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
    const bool direct = stream.direct();
    stream.close();
    std::printf("frames %d results %d errors %d allocations %zu acquire_us %.1f", sent,
                results.load(), errors.load(), allocations, acquire_us);
    print_percentiles("submit_us", submit_us);
    print_percentiles("submit_cpu_us", submit_cpu_us);
    std::printf(" direct %d\n", direct);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name(error.code()), error.what());
    return 1;
  }
  return 0;
}
