// The certificates by which a client and a server with mutual TLS know each other.
#pragma once

#include <string>

#include "cineflow_client.hpp"

namespace cineflow_client {

/// Those of a folder: ca.crt, client.crt, client.key. Throws kCertificateUnusable.
Tls read_certificates(const std::string& folder);

}  // namespace cineflow_client
