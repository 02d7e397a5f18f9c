// What a stream declares at its start: its rate, its budget, and the trace that it belongs to.
#pragma once

#include <cstdint>
#include <string>

#include "cineflow_client.hpp"

namespace cineflow_client {

struct Declared {
  std::int64_t period_us = 0, budget_us = 0;  // 0: nothing is declared
  double budget_ms = 0;
  std::string traceparent;

  /// Whether a result came after its budget.
  bool late(double latency_ms) const noexcept { return budget_ms > 0 && latency_ms > budget_ms; }
};

/// Throws kCineflowClientError.
Declared declared(const StreamOptions& options);

}  // namespace cineflow_client
