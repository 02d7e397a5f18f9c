// Errors of the server, made into ours.
#pragma once

#include <memory>
#include <string>

#include "cineflow_client.hpp"

namespace cineflow_client {

/// The typed error for an error message of the server.
Error error_from_message(const std::string& message, const std::string& model);

/// Whether the server refused a request because it does not map the region that it names.
bool names_a_lost_region(const std::string& message) noexcept;

bool contains(const std::string& text, const char* words) noexcept;

Error closed_stream();
Error other_process();

}  // namespace cineflow_client
