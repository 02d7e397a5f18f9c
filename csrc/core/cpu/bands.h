// Splits the rows of an op over threads.
//
// Problem: a small op loses more time by starting a thread than the thread saves.
//
// Solution: rows are split into at most one band per thread, and into fewer where a band would
// have too little work. A row never depends on the split, so results do not either.
//
// Usage:
//   const std::int64_t bands = band_count(rows, row_cost, executor);
//   for_each_band(rows, bands, executor, [&](std::int64_t band, std::int64_t first,
//                                            std::int64_t last) { ... });
#pragma once

#include <algorithm>
#include <cstdint>

#include "cineflow/executor.h"

namespace cineflow {

/// Least work per band, in elements touched: below it another thread costs more than it saves.
constexpr std::int64_t kBandGrain = 8192;

/// How many bands to make of `rows` rows of `row_cost` elements each: at least 1, at most one per
/// row and one per thread.
inline std::int64_t band_count(std::int64_t rows, std::int64_t row_cost,
                               const Executor& executor) noexcept {
  const std::int64_t worthwhile = rows * row_cost / kBandGrain;
  return std::max<std::int64_t>(1,
                                std::min({worthwhile, rows, std::int64_t{executor.width_now()}}));
}

/// Calls `body(band, first_row, last_row)` for each of `bands` equal shares of `rows`.
template <typename Body>
void for_each_band(std::int64_t rows, std::int64_t bands, const Executor& executor,
                   const Body& body) noexcept {
  struct Job {
    const Body& body;
    std::int64_t rows;
    std::int64_t bands;
  } job{body, rows, bands};
  executor.run(
      bands,
      [](void* context, std::int64_t band) {
        const Job& shared = *static_cast<const Job*>(context);
        shared.body(band, shared.rows * band / shared.bands,
                    shared.rows * (band + 1) / shared.bands);
      },
      &job);
}

}  // namespace cineflow
