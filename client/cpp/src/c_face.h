// The handles of the C face, and what each of its functions does with what is thrown.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cineflow_client.h"
#include "cineflow_client.hpp"
#include "lock.h"

namespace cfc = cineflow_client;

struct cfc_client {
  cfc::Client client;
};

struct cfc_stream {
  cfc::Stream stream;
  std::vector<std::int64_t> size;
  // Slots that the caller has, so that to acquire one need not allocate.
  struct Held {
    cfc_stream* owner = nullptr;
    cfc::Slot slot;
    bool used = false;
  };
  std::vector<std::unique_ptr<Held>> held;
  cfc::Lock lock;  // of `held`
};

struct cfc_result {
  std::shared_ptr<const cfc::Result> result;
};

namespace c_face {

/// Cut where it is longer. Allocates nothing, so it cannot fail.
inline void copy_text(char (&to)[512], const char* text) noexcept {
  const std::size_t count = std::min(std::strlen(text), sizeof(to) - 1);
  std::memcpy(to, text, count);
  to[count] = '\0';
}

inline cfc_code fill(cfc_error* error, cfc_code code, const char* wanted, const char* got,
                     const char* remedy) noexcept {
  if (error != nullptr) {
    error->code = code;
    copy_text(error->wanted, wanted);
    copy_text(error->got, got);
    copy_text(error->remedy, remedy);
  }
  return code;
}

inline cfc_code succeed(cfc_error* error) noexcept { return fill(error, CFC_OK, "", "", ""); }

inline cfc_code report(const cfc::Error& why, cfc_error* error) noexcept {
  return fill(error, static_cast<cfc_code>(why.code()), why.wanted().c_str(), why.got().c_str(),
              why.remedy().c_str());
}

/// Run `work`; what it throws becomes a code.
template <typename Work>
cfc_code guarded(cfc_error* error, Work work) noexcept {
  const char* const wanted = "a call that ends without an exception";
  try {
    work();
    return succeed(error);
  } catch (const cfc::Error& why) {
    return report(why, error);
  } catch (const std::exception& why) {
    return fill(error, CFC_CINEFLOW_CLIENT_ERROR, wanted, why.what(), "");
  } catch (...) {
    return fill(error, CFC_CINEFLOW_CLIENT_ERROR, wanted, "one that is not a std::exception", "");
  }
}

inline void require(bool given, const char* what) {
  if (!given) throw cfc::Error(cfc::Code::kCineflowClientError, what, "NULL, or a wrong number");
}

/// An enum of the library from a number of the caller's, from 0 to `last`.
template <typename To, typename From>
To checked(From value, To last, const char* what) {
  const auto number = static_cast<std::int32_t>(value);
  if (number < 0 || number > static_cast<std::int32_t>(last)) {
    throw cfc::Error(cfc::Code::kCineflowClientError, what, std::to_string(number),
                     "cineflow_client.h lists the values.");
  }
  return static_cast<To>(number);
}

inline cfc::DataType dtype_of(cfc_dtype dtype) {
  return checked(dtype, cfc::DataType::kFloat64, "a value of cfc_dtype");
}

inline std::string text_or_empty(const char* text) { return text == nullptr ? "" : text; }

/// Hand a text over, cut where there is not enough room.
inline void put_text(const std::string& from, char* text, std::size_t room, std::size_t* needed) {
  if (needed != nullptr) *needed = from.size() + 1;
  if (text == nullptr || room == 0) return;
  const std::size_t count = std::min(from.size(), room - 1);
  std::memcpy(text, from.data(), count);
  text[count] = '\0';
}

inline std::vector<cfc::Array> arrays_of(const cfc_array* arrays, std::size_t count) {
  require(arrays != nullptr || count == 0, "arrays");
  std::vector<cfc::Array> found;
  for (std::size_t k = 0; k < count; ++k) {
    const cfc_array& one = arrays[k];
    require(one.name != nullptr && one.rank >= 0 && one.rank <= 8, "an array's name and rank");
    found.push_back({one.name, dtype_of(one.dtype),
                     std::vector<std::int64_t>(one.shape, one.shape + one.rank), one.data});
  }
  return found;
}

}  // namespace c_face
