// What a server serves, changed while it runs. Only for programs of the server's own user on its
// machine. A live stream stays with the model that it began with.
#pragma once

#include <map>
#include <string>

#include "connection.h"

namespace cineflow_client {

/// The model behind each alias that is ready.
std::map<std::string, std::string> aliases(Connection& connection);
void load(Connection& connection, const std::string& model);
void unload(Connection& connection, const std::string& model);
std::string roll_back(Connection& connection, const std::string& alias);

}  // namespace cineflow_client
