#include "json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cineflow_client {
namespace {

constexpr int kDeepest = 64;

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Json value(int depth) {
    if (depth > kDeepest) fail("too deep");
    skip_space();
    Json found;
    switch (peek()) {
      case '{':
        object(found, depth);
        break;
      case '[':
        list(found, depth);
        break;
      case '"':
        found.kind = Json::Kind::kText;
        found.text = quoted();
        break;
      case 't':
      case 'f':
        found.kind = Json::Kind::kBool;
        found.truth = peek() == 't';
        word(found.truth ? "true" : "false");
        break;
      case 'n':
        word("null");
        break;
      default:
        number(found);
    }
    return found;
  }

  std::size_t place() const noexcept { return place_; }

 private:
  [[noreturn]] void fail(const char* why) const {
    throw JsonError(std::string(why) + " at byte " + std::to_string(place_));
  }
  char peek() const { return place_ < text_.size() ? text_[place_] : '\0'; }
  char next() {
    if (place_ >= text_.size()) fail("the end");
    return text_[place_++];
  }
  void skip_space() {
    while (place_ < text_.size() && std::strchr(" \t\r\n", text_[place_]) != nullptr &&
           text_[place_] != '\0') {
      ++place_;
    }
  }
  void want(char wanted) {
    skip_space();
    if (peek() != wanted) fail("an unexpected character");
    ++place_;
  }
  bool follows(char wanted) {
    skip_space();
    if (peek() != wanted || place_ >= text_.size()) return false;
    ++place_;
    return true;
  }
  void word(std::string_view wanted) {
    if (text_.substr(place_, wanted.size()) != wanted) fail("an unknown word");
    place_ += wanted.size();
  }

  void object(Json& found, int depth) {
    found.kind = Json::Kind::kObject;
    want('{');
    if (follows('}')) return;
    do {
      skip_space();
      std::string name = quoted();
      want(':');
      found.members.emplace_back(std::move(name), value(depth + 1));
    } while (follows(','));
    want('}');
  }

  void list(Json& found, int depth) {
    found.kind = Json::Kind::kList;
    want('[');
    if (follows(']')) return;
    do {
      found.list.push_back(value(depth + 1));
    } while (follows(','));
    want(']');
  }

  void number(Json& found) {
    // Python's json also writes these three.
    found.kind = Json::Kind::kNumber;
    const std::size_t sign = peek() == '-' ? 1 : 0;
    if (text_.substr(place_ + sign, 8) == "Infinity") {
      place_ += sign + 8;
      found.number = sign != 0 ? -HUGE_VAL : HUGE_VAL;
      return;
    }
    if (text_.substr(place_, 3) == "NaN") {
      place_ += 3;
      found.number = std::nan("");
      return;
    }
    std::size_t end = place_;
    while (end < text_.size() && text_[end] != '\0' &&
           std::strchr("+-.0123456789eE", text_[end]) != nullptr) {
      ++end;
    }
    const std::string digits(text_.substr(place_, end - place_));
    char* stop = nullptr;
    found.number = std::strtod(digits.c_str(), &stop);
    if (digits.empty() || stop != digits.c_str() + digits.size()) fail("not a number");
    place_ = end;
  }

  std::string quoted() {
    if (peek() != '"') fail("not a text");
    ++place_;
    std::string found;
    while (true) {
      const char letter = next();
      if (letter == '"') return found;
      if (letter != '\\') {
        found += letter;
        continue;
      }
      switch (const char escaped = next()) {
        case 'b':
          found += '\b';
          break;
        case 'f':
          found += '\f';
          break;
        case 'n':
          found += '\n';
          break;
        case 'r':
          found += '\r';
          break;
        case 't':
          found += '\t';
          break;
        case 'u':
          append(found, unicode());
          break;
        default:
          found += escaped;
      }
    }
  }

  std::uint32_t four_digits() {
    std::uint32_t code = 0;
    for (int digit = 0; digit < 4; ++digit) {
      const char letter = next();
      code *= 16;
      if (letter >= '0' && letter <= '9') {
        code += static_cast<std::uint32_t>(letter - '0');
      } else if ((letter | 32) >= 'a' && (letter | 32) <= 'f') {
        code += static_cast<std::uint32_t>((letter | 32) - 'a' + 10);
      } else {
        fail("not a code point");
      }
    }
    return code;
  }

  std::uint32_t unicode() {
    const std::uint32_t high = four_digits();
    if (high < 0xD800 || high > 0xDBFF || text_.substr(place_, 2) != "\\u") return high;
    place_ += 2;
    const std::uint32_t low = four_digits();
    return low < 0xDC00 || low > 0xDFFF ? 0xFFFD : 0x10000 + ((high - 0xD800) << 10) + low - 0xDC00;
  }

  static void append(std::string& text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xC0 | code >> 6);
      put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      put(0xE0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3F));
      put(0x80 | (code & 0x3F));
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
      put(0x80 | (code >> 6 & 0x3F));
      put(0x80 | (code & 0x3F));
    }
  }

  std::string_view text_;
  std::size_t place_ = 0;
};

[[noreturn]] void other_kind(const char* wanted) {
  throw JsonError(std::string("a value that is not ") + wanted);
}

}  // namespace

Json Json::parse(std::string_view text, std::size_t* used) {
  Reader reader(text);
  Json found = reader.value(0);
  if (used != nullptr) *used = reader.place();
  return found;
}

const Json* Json::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

const Json& Json::at(std::string_view name) const {
  const Json* found = find(name);
  if (found == nullptr) throw JsonError("no \"" + std::string(name) + "\"");
  return *found;
}

const std::string& Json::as_text() const {
  if (kind != Kind::kText) other_kind("a text");
  return text;
}

double Json::as_number() const {
  if (kind != Kind::kNumber) other_kind("a number");
  return number;
}

std::int64_t Json::as_int() const {
  const double value = as_number();
  if (!(std::abs(value) < 9e15) || value != std::floor(value)) other_kind("a whole number");
  return static_cast<std::int64_t>(value);
}

bool Json::as_bool() const {
  if (kind != Kind::kBool) other_kind("true or false");
  return truth;
}

const std::vector<Json>& Json::as_list() const {
  if (kind != Kind::kList) other_kind("a list");
  return list;
}

std::vector<std::string> Json::as_texts() const {
  std::vector<std::string> texts;
  for (const Json& one : as_list()) texts.push_back(one.as_text());
  return texts;
}

std::string Json::text_of(std::string_view name) const {
  const Json* found = find(name);
  return found != nullptr && found->kind == Kind::kText ? found->text : "";
}

std::string json_of(const std::vector<std::string>& texts) {
  std::string json = "[";
  for (const std::string& text : texts) {
    json += json.size() > 1 ? ", \"" : "\"";
    for (const char letter : text) {
      if (static_cast<unsigned char>(letter) < 0x20) {
        char escaped[8];
        std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(letter));
        json += escaped;
        continue;
      }
      if (letter == '"' || letter == '\\') json += '\\';
      json += letter;
    }
    json += '"';
  }
  return json + "]";
}

}  // namespace cineflow_client
