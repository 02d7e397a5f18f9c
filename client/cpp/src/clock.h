// The clock of the server, as far as the frames of a session tell.
#pragma once

#include <algorithm>
#include <limits>

#include "cineflow_client.hpp"

namespace cineflow_client {

/// Bounds of the server's clock less the client's. A frame is sent before it is computed, and
/// received after that, so each one bounds the offset from both sides. Older bounds grow wider,
/// because clocks drift.
class ServerClock {
 public:
  /// Fill in the offset of a frame whose other times are there.
  void place(Times& times) {
    const double apart_s = kDrift * std::max(times.received_s - at_s_, 0.0);
    const double low = times.computed_s - times.received_s, high = times.started_s - times.sent_s;
    low_ = std::max(low_ - apart_s, low);
    high_ = std::min(high_ + apart_s, high);
    if (low_ > high_) {  // a clock was set, or the server is another one
      low_ = low;
      high_ = high;
    }
    at_s_ = times.received_s;
    times.offset_s = 0.5 * (low_ + high_);
    times.offset_error_s = 0.5 * (high_ - low_);
  }

 private:
  /// Two monotonic clocks run apart by this at most, seconds in a second: what NTP may correct.
  static constexpr double kDrift = 1e-3;
  double low_ = -std::numeric_limits<double>::infinity();
  double high_ = std::numeric_limits<double>::infinity();
  double at_s_ = 0;
};

}  // namespace cineflow_client
