#include <algorithm>
#include <cmath>

#include "cineflow_client.hpp"

namespace cineflow_client {

void LatencyLog::add(double latency_ms, double waited_ms) {
  each_.push_back(latency_ms);
  if (frame_period_ms_ > 0 && latency_ms + waited_ms > frame_period_ms_) ++missed_;
}

LatencySummary LatencyLog::summary() const {
  LatencySummary summary;
  summary.frames = each_.size();
  summary.missed_deadlines = missed_;
  if (each_.empty()) return summary;
  std::vector<double> sorted = each_;
  std::sort(sorted.begin(), sorted.end());
  // Between the two nearest, as numpy.percentile does.
  const auto percentile = [&sorted](double percent) {
    const double at = percent / 100 * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const auto above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
  };
  summary.p50_ms = percentile(50);
  summary.p95_ms = percentile(95);
  summary.p99_ms = percentile(99);
  summary.max_ms = sorted.back();
  return summary;
}

}  // namespace cineflow_client
