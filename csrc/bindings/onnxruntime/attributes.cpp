#include "attributes.h"

#include <cmath>

namespace cineflow::onnxruntime {
namespace {

using Found = AttributeSource::Found;

Status other_type(const char* name, const char* wanted) noexcept {
  Status status = failure(Status::Code::kArgument, "", "a value of the wrong type");
  std::snprintf(status.wanted, sizeof(status.wanted), "%s as %s", name, wanted);
  return status;
}

}  // namespace

bool Attributes::ranged(const char* name, std::int64_t low, std::int64_t high,
                        std::int64_t* value) noexcept {
  const Found found = status_.ok() ? source_.integer(name, value) : Found::kAbsent;
  if (found == Found::kOther) {
    status_ = other_type(name, "a whole number");
  } else if (status_.ok() && !(*value >= low && *value <= high)) {
    status_ = failure(Status::Code::kArgument, "", "%lld", static_cast<long long>(*value));
    std::snprintf(status_.wanted, sizeof(status_.wanted), "%s in %lld..%lld", name,
                  static_cast<long long>(low), static_cast<long long>(high));
  }
  return found == Found::kRead && status_.ok();
}

bool Attributes::finite(const char* name, float* value) noexcept {
  const Found found = status_.ok() ? source_.real(name, value) : Found::kAbsent;
  if (found == Found::kOther || (found == Found::kRead && !std::isfinite(*value))) {
    status_ = other_type(name, "a finite number");
  }
  return found == Found::kRead && status_.ok();
}

bool Attributes::word(const char* name, char (&value)[kLongestWord]) noexcept {
  const Found found = status_.ok() ? source_.text(name, value, kLongestWord) : Found::kAbsent;
  if (found == Found::kOther) status_ = other_type(name, "a string");
  return found == Found::kRead;
}

}  // namespace cineflow::onnxruntime
