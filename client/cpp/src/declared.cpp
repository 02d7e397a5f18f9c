#include "declared.h"

#include <algorithm>
#include <cmath>

#include "spec.h"

namespace cineflow_client {
namespace {

constexpr double kMostFps = 10000, kLongestBudgetMs = 3600000;

/// `digits` of base 16 in lower case from `start`, not all of them 0 where `some`.
bool are_digits(const std::string& text, std::size_t start, std::size_t digits, bool some) {
  const std::string part = text.substr(start, digits);
  const bool right = part.find_first_not_of("0123456789abcdef") == std::string::npos;
  return right && (!some || part.find_first_not_of('0') != std::string::npos);
}

/// As W3C Trace Context writes it.
bool is_traceparent(const std::string& text) {
  return text.size() == 55 && text[2] == '-' && text[35] == '-' && text[52] == '-' &&
         are_digits(text, 0, 2, false) && are_digits(text, 3, 32, true) &&
         are_digits(text, 36, 16, true) && are_digits(text, 53, 2, false);
}

}  // namespace

Declared declared(const StreamOptions& options) {
  const double rate = options.rate, budget_ms = options.budget_ms;
  if ((rate == 0) != (budget_ms == 0)) {
    throw Error(Code::kCineflowClientError, "a rate with a budget_ms, or neither",
                "rate=" + number(rate) + ", budget_ms=" + number(budget_ms),
                "A scanner at 30 frames/s that shows each result before the next frame has "
                "rate=30, budget_ms=33.");
  }
  const auto check = [](const char* name, double value, double most) {
    if (value >= 0 && value <= most) return;
    throw Error(Code::kCineflowClientError,
                std::string("a ") + name + " above 0 and up to " + number(most), number(value));
  };
  check("rate", rate, kMostFps);
  check("budget_ms", budget_ms, kLongestBudgetMs);
  if (!options.traceparent.empty() && !is_traceparent(options.traceparent)) {
    throw Error(Code::kCineflowClientError,
                "a traceparent as W3C Trace Context writes it (00-<32 digits>-<16 digits>-01)",
                "'" + options.traceparent + "'",
                "OpenTelemetry's TraceContextTextMapPropagator writes it.");
  }
  Declared found;
  found.traceparent = options.traceparent;
  if (rate > 0) {
    found.period_us = std::max<std::int64_t>(1, std::llround(1e6 / rate));
    found.budget_us = std::max<std::int64_t>(1, std::llround(1e3 * budget_ms));
    found.budget_ms = budget_ms;
  }
  return found;
}

}  // namespace cineflow_client
