// JSON as a server of cineflow writes it: a spec, notes, the parts of an error.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cineflow_client {

/// A text that is not JSON, or has another form than was expected.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Json {
 public:
  enum class Kind { kNull, kBool, kNumber, kText, kList, kObject };

  /// Read one value at the start of `text`; `used` gets how many bytes it took. Throws JsonError.
  static Json parse(std::string_view text, std::size_t* used = nullptr);

  Kind kind = Kind::kNull;
  bool truth = false;
  double number = 0;
  std::string text;
  std::vector<Json> list;
  std::vector<std::pair<std::string, Json>> members;

  bool is_null() const noexcept { return kind == Kind::kNull; }
  /// Null where it is missing.
  const Json* find(std::string_view name) const noexcept;
  /// These throw JsonError where the value is of another kind.
  const Json& at(std::string_view name) const;
  const std::string& as_text() const;
  double as_number() const;
  std::int64_t as_int() const;
  bool as_bool() const;
  const std::vector<Json>& as_list() const;
  std::vector<std::string> as_texts() const;
  /// The text of a member; "" where it is missing.
  std::string text_of(std::string_view name) const;
};

/// A list of texts as JSON.
std::string json_of(const std::vector<std::string>& texts);

}  // namespace cineflow_client
