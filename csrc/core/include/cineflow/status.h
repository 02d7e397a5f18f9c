// What a launcher returns: success, or what it wanted and what it got.
//
// A Status holds its text in fixed buffers, so that a launcher can fail without allocating. Each
// binding turns it into the error of its own runtime.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace cineflow {

struct Status {
  enum class Code {
    kOk,
    kArgument,  // the caller's arguments are wrong
    kDevice,    // the device failed: no driver, no memory, a failed launch
  };

  Code code = Code::kOk;
  char wanted[192] = "";
  char got[192] = "";

  bool ok() const noexcept { return code == Code::kOk; }
};

/// A failed Status; `wanted` is plain text, `got` is printf-formatted.
[[gnu::format(printf, 3, 4)]] inline Status failure(Status::Code code, const char* wanted,
                                                    const char* got, ...) noexcept {
  Status status;
  status.code = code;
  std::snprintf(status.wanted, sizeof(status.wanted), "%s", wanted);
  va_list arguments;
  va_start(arguments, got);
  std::vsnprintf(status.got, sizeof(status.got), got, arguments);
  va_end(arguments);
  return status;
}

}  // namespace cineflow
