// A node's attributes, read into an argument struct.
//
// Usage: return node.integer("radius", 0, kMaxRadius, &args->radius).real("scale", &args->scale)
//            .status();
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "cineflow/status.h"

namespace cineflow::onnxruntime {

/// Where attributes come from. The runtime has one interface for them while it infers shapes, and
/// another when it creates a kernel.
class AttributeSource {
 public:
  enum class Found { kAbsent, kRead, kOther };  // kOther: a value of the wrong type or length

  virtual ~AttributeSource() = default;
  virtual Found integer(const char* name, std::int64_t* value) const noexcept = 0;
  virtual Found real(const char* name, float* value) const noexcept = 0;
  virtual Found text(const char* name, char* value, std::size_t size) const noexcept = 0;
};

/// Reads one attribute per call and keeps the first failure. If the node does not have an
/// attribute, its value is unchanged: the defaults of the op are those of the argument struct.
class Attributes {
 public:
  explicit Attributes(const AttributeSource& source) noexcept : source_(source) {}

  /// A whole number in [low, high].
  template <typename Value>
  Attributes& integer(const char* name, std::int64_t low, std::int64_t high,
                      Value* value) noexcept {
    std::int64_t given = *value;
    if (ranged(name, low, high, &given)) *value = static_cast<Value>(given);
    return *this;
  }

  /// A finite number. ONNX stores it as f32.
  template <typename Value>
  Attributes& real(const char* name, Value* value) noexcept {
    float given = 0;
    if (finite(name, &given)) *value = given;
    return *this;
  }

  template <typename Value>
  struct Choice {
    const char* text;
    Value value;
  };

  /// One of several strings.
  template <typename Value>
  Attributes& choice(const char* name, std::initializer_list<Choice<Value>> choices,
                     Value* value) noexcept {
    char given[kLongestWord] = "";
    if (!word(name, given)) return *this;
    for (const Choice<Value>& choice : choices) {
      if (std::strcmp(given, choice.text) == 0) {
        *value = choice.value;
        return *this;
      }
    }
    status_ = failure(Status::Code::kArgument, "", "\"%s\"", given);
    std::size_t used = std::snprintf(status_.wanted, sizeof(status_.wanted), "%s", name);
    const char* separator = " of ";
    for (const Choice<Value>& choice : choices) {
      used += std::snprintf(status_.wanted + used, sizeof(status_.wanted) - used, "%s\"%s\"",
                            separator, choice.text);
      separator = " or ";
    }
    return *this;
  }

  const Status& status() const noexcept { return status_; }

 private:
  static constexpr std::size_t kLongestWord = 32;

  // Whether the node has the value. A value of the wrong type, or out of range, is a failure.
  bool ranged(const char* name, std::int64_t low, std::int64_t high, std::int64_t* value) noexcept;
  bool finite(const char* name, float* value) noexcept;
  bool word(const char* name, char (&value)[kLongestWord]) noexcept;

  const AttributeSource& source_;
  Status status_;
};

}  // namespace cineflow::onnxruntime
