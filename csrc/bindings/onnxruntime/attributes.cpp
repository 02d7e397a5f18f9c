#include "attributes.h"

#include <climits>

namespace cineflow::onnxruntime {
namespace {

using Found = AttributeSource::Found;

Status other_kind(const char* name, const char* wanted) noexcept {
  Status status = failure(Status::Code::kArgument, "", "a value of another kind");
  std::snprintf(status.wanted, sizeof(status.wanted), "%s as %s", name, wanted);
  return status;
}

}  // namespace

Attributes& Attributes::integer(const char* name, int* value) noexcept {
  std::int64_t given = 0;
  const Found found = status_.ok() ? source_.integer(name, &given) : Found::kAbsent;
  if (found == Found::kAbsent) return *this;
  if (found == Found::kRead && given >= INT_MIN && given <= INT_MAX) {
    *value = static_cast<int>(given);
  } else {
    status_ = other_kind(name, "an integer of 32 bits");
  }
  return *this;
}

bool Attributes::word(const char* name, char (&value)[kLongestWord]) noexcept {
  const Found found = status_.ok() ? source_.text(name, value, kLongestWord) : Found::kAbsent;
  if (found == Found::kOther) status_ = other_kind(name, "one word");
  return found == Found::kRead;
}

}  // namespace cineflow::onnxruntime
