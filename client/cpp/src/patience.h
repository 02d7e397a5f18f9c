// How long the calls of a stream may still take. A stream that is closed does not wait for them.
#pragma once

#include <algorithm>
#include <atomic>

#include "lock.h"

namespace cineflow_client {

class Patience {
 public:
  /// Calls that are under way are given up then, and so are later ones. From any thread.
  void end_in(double seconds) noexcept { until_ns_ = after(seconds); }
  bool is_over() const noexcept { return now_ns() >= until_ns_; }

 private:
  std::atomic<std::int64_t> until_ns_{kNever};
};

}  // namespace cineflow_client
