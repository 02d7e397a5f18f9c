// Splits the rows of an op over threads in chunks, which each thread takes when it has time.
//
// Problem: where something else runs on a core, that core's thread is late with its band, and the
// others wait for it. Two threads are then slower than one.
//
// Solution: the rows are taken in order, some at a time, from a counter that all threads share. A
// chunk is a share of the rows that are left, so the last ones are small. A thread that begins late
// finds nothing left. As with bands, a row never depends on the split.
//
// Usage:
//   const std::int64_t bands = band_count(rows, row_cost, executor);
//   for_each_chunk(rows, bands, least, executor, [&](std::int64_t band, Chunks& chunks) {
//     Worker worker(...);
//     while (chunks.take()) worker.run(chunks.first(), chunks.last());
//   });
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu/bands.h"

namespace cineflow {

/// What is left of the rows, for all threads.
struct SharedRows {
  const std::int64_t rows, bands, least;
  std::atomic<std::int64_t> taken{0};
};

/// The chunks that one thread takes, in rising order. It has the first one from the beginning.
class Chunks {
 public:
  explicit Chunks(SharedRows& shared) : shared_(shared) { any_ = take_next(); }

  /// Whether there is a first chunk. A thread that begins late has none.
  bool any() const noexcept { return any_; }

  /// Takes the first chunk, then the next ones; false when no row is left.
  bool take() noexcept {
    if (!first_is_taken_) {
      first_is_taken_ = true;
      return any_;
    }
    return take_next();
  }

  std::int64_t first() const noexcept { return first_; }
  std::int64_t last() const noexcept { return last_; }

 private:
  bool take_next() noexcept {
    first_ = shared_.taken.load(std::memory_order_relaxed);
    do {
      const std::int64_t left = shared_.rows - first_;
      if (left <= 0) return false;
      const std::int64_t share = shared_.bands == 1 ? left : left / (2 * shared_.bands);
      last_ = first_ + std::min(left, std::max(shared_.least, share));
    } while (!shared_.taken.compare_exchange_weak(first_, last_, std::memory_order_relaxed));
    return true;
  }

  SharedRows& shared_;
  bool any_, first_is_taken_ = false;
  std::int64_t first_ = 0, last_ = 0;
};

/// Rows of a chunk, at least, where a row touches `row_cost` elements: less is not worth a turn at
/// the counter.
inline std::int64_t least_rows(std::int64_t row_cost) noexcept {
  return std::max<std::int64_t>(1, kBandGrain / std::max<std::int64_t>(1, row_cost));
}

/// Calls `body(band, chunks)` in up to `bands` threads; together they take all of `rows`, at least
/// `least` at a time.
template <typename Body>
void for_each_chunk(std::int64_t rows, std::int64_t bands, std::int64_t least,
                    const Executor& executor, const Body& body) noexcept {
  SharedRows shared{rows, bands, least};
  for_each_band(bands, bands, executor, [&](std::int64_t band, std::int64_t, std::int64_t) {
    Chunks chunks(shared);
    if (chunks.any()) body(band, chunks);
  });
}

}  // namespace cineflow
