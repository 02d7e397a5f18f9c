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

inline void copy_text(char (&to)[512], const std::string& text) {
  const std::size_t count = std::min(text.size(), sizeof(to) - 1);
  std::memcpy(to, text.data(), count);
  to[count] = '\0';
}

inline cfc_code report(const cfc::Error& why, cfc_error* error) {
  if (error != nullptr) {
    error->code = static_cast<cfc_code>(why.code());
    copy_text(error->wanted, why.wanted());
    copy_text(error->got, why.got());
    copy_text(error->remedy, why.remedy());
  }
  return static_cast<cfc_code>(why.code());
}

/// Run `work`; what it throws becomes a code.
template <typename Work>
cfc_code guarded(cfc_error* error, Work work) noexcept {
  try {
    work();
    if (error != nullptr) *error = {};
    return CFC_OK;
  } catch (const cfc::Error& why) {
    return report(why, error);
  } catch (const std::exception& why) {
    if (error != nullptr) {
      *error = {};
      error->code = CFC_CINEFLOW_CLIENT_ERROR;
      std::strncpy(error->got, why.what(), sizeof(error->got) - 1);
    }
    return CFC_CINEFLOW_CLIENT_ERROR;
  }
}

inline void require(bool given, const char* what) {
  if (!given) throw cfc::Error(cfc::Code::kCineflowClientError, what, "NULL, or a wrong number");
}

inline std::string text_or_empty(const char* text) { return text == nullptr ? "" : text; }

inline std::vector<cfc::Array> arrays_of(const cfc_array* arrays, std::size_t count) {
  require(arrays != nullptr || count == 0, "arrays");
  std::vector<cfc::Array> found;
  for (std::size_t k = 0; k < count; ++k) {
    const cfc_array& one = arrays[k];
    require(one.name != nullptr && one.rank >= 0 && one.rank <= 8, "an array's name and rank");
    found.push_back({one.name, static_cast<cfc::DataType>(one.dtype),
                     std::vector<std::int64_t>(one.shape, one.shape + one.rank), one.data});
  }
  return found;
}

}  // namespace c_face
