// When the caller of a job works alone, because other programs have the processors.
//
// Problem: a worker that shares its processor with another program is stopped in the middle of a
// band for milliseconds. The caller waits for it, and the job takes many times what the caller
// alone needs.
//
// Solution: the processor time of all bands is what the caller alone would have needed. After jobs
// that took longer, the caller works alone for many times the time that was lost. The factor grows
// while this goes on, so that the losses stay below a few percent, and jobs are split again soon
// after the processors are free. Both are counted in the time of jobs, so that 30 jobs per second
// are treated like 10 000.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace cineflow {

/// One thread at a time may tell of jobs, and any may ask. Times are in nanoseconds.
class Contention {
 public:
  /// Whether the next job is the caller's alone.
  bool is_alone() const noexcept { return alone_left_.load(std::memory_order_relaxed) > 0; }

  /// After a job that the caller did alone.
  void did_alone(std::int64_t took) noexcept {
    alone_left_.fetch_sub(took, std::memory_order_relaxed);
  }

  /// After a job that was shared. `work` is the processor time of its bands.
  void shared(std::int64_t took, std::int64_t work) noexcept {
    lost_ = std::max(lost_ + took - work, -kNoise);
    if (lost_ < kNoise) {
      calm_ += took;
      if (calm_ > kCalm) factor_ = kLeastFactor;
      return;
    }
    alone_left_.store(lost_ * factor_, std::memory_order_relaxed);
    factor_ = std::min(2 * factor_, kLargestFactor);
    lost_ = calm_ = 0;
  }

 private:
  static constexpr std::int64_t kNoise = 100'000;  // an interrupt, a cache that was cold
  static constexpr std::int64_t kCalm = 100'000'000;
  static constexpr std::int64_t kLeastFactor = 16;
  static constexpr std::int64_t kLargestFactor = 512;

  std::int64_t lost_ = 0;  // below 0: gained
  std::atomic<std::int64_t> alone_left_{0};
  std::int64_t calm_ = 0;  // time of shared jobs since the last loss
  std::int64_t factor_ = kLeastFactor;
};

}  // namespace cineflow
