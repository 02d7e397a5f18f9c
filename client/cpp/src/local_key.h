// The key by which a server knows programs of its own user on its own machine (docs/protocol.md).
#pragma once

#include <string>

namespace cineflow_client {

inline constexpr const char* kKeyHeader = "triton-grpc-protocol-cineflow-key";

/// The key of the server at `url` ("host:port"); "" unless it is this user's, on this machine.
std::string read_key(const std::string& url);

}  // namespace cineflow_client
