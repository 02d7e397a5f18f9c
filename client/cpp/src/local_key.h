// The key by which a server knows programs of its own user on its own machine (docs/protocol.md).
#pragma once

#include <optional>
#include <string>

namespace cineflow_client {

inline constexpr const char* kKeyHeader = "triton-grpc-protocol-cineflow-key";

/// The key of the server at `url` ("host:port"); "" unless it is this user's, on this machine.
std::string read_key(const std::string& url);

/// Where a server whose models can change keeps them.
struct ModelFiles {
  std::string repository;  // folder of model folders
  std::string loaded;      // file with the names that a restarted server loads
};

/// Those of the server at `url`; none as `read_key`, and where its models cannot change.
std::optional<ModelFiles> read_model_files(const std::string& url);

}  // namespace cineflow_client
