#include "control.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "json.h"
#include "local_key.h"

namespace cineflow_client {
namespace {

/// The configuration of an alias, and the one that it had before (cineflow.export.triton).
constexpr const char *kNow = "/config.pbtxt", *kBefore = "/previous.pbtxt";

[[noreturn]] void unusable(const std::string& path) {
  throw Error(Code::kCineflowClientError, "the file " + path, std::strerror(errno),
              "It lies in the server's model repository, and belongs to the server's user.");
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) unusable(path);
  return text.str();
}

/// Replace a file by a new one.
void write_text(const std::string& path, const std::string& text, const std::string& suffix) {
  const std::string written = path + suffix;
  {
    std::ofstream file(written, std::ios::binary | std::ios::trunc);
    if (!(file << text) || !file.flush()) unusable(written);
  }
  if (std::rename(written.c_str(), path.c_str()) != 0) unusable(path);
}

/// Exchange the two configurations. Both files are new, so that Triton sees the change.
void swap_files(const std::string& folder) {
  const std::string now = read_text(folder + kNow), before = read_text(folder + kBefore);
  write_text(folder + kNow, before, ".new");
  write_text(folder + kBefore, now, ".new");
}

/// The model in the configuration of an alias; "" if it has none.
std::string target_in(const std::string& config) {
  static const std::string key = "model_name: \"";
  std::istringstream lines(config);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    const auto start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line.compare(start, key.size(), key) != 0) continue;
    const auto end = line.find('"', start + key.size());
    if (end != std::string::npos) found = line.substr(start + key.size(), end - start - key.size());
  }
  return found;
}

ModelFiles files_of(const Connection& connection) {
  const auto files = read_model_files(connection.url());
  if (!files) {
    throw Error(Code::kServerRefused,
                "a server of this user on this machine, whose models can change", connection.url(),
                "Run it as the user that started the server (`cineflow serve`).");
  }
  return *files;
}

using Names = std::vector<std::string>;

/// Note what a restarted server loads.
void keep(const Connection& connection, const Names& add, const Names& remove) noexcept {
  try {
    const std::string path = files_of(connection).loaded;
    Names names = Json::parse(read_text(path)).as_texts();
    names.insert(names.end(), add.begin(), add.end());
    Names left;
    for (const std::string& name : names) {
      if (!has(left, name) && !has(remove, name)) left.push_back(name);
    }
    write_text(path, json_of(left), "." + std::to_string(getpid()));
  } catch (const std::exception&) {  // not a server of ours: it has no such list
    return;
  }
}

}  // namespace

std::map<std::string, std::string> aliases(Connection& connection) {
  std::map<std::string, std::string> found;
  for (const auto& [name, state] : connection.models()) {
    if (state != "READY") continue;
    const std::string target = connection.target(name);
    if (!target.empty()) found[name] = target;
  }
  return found;
}

void load(Connection& connection, const std::string& model) {
  connection.load(model);
  keep(connection, {model}, {});
}

void unload(Connection& connection, const std::string& model) {
  const auto known = connection.models();
  const auto state = known.find(model);
  if (state == known.end() || state->second != "READY") {
    throw Error(Code::kModelNotFound, "a model '" + model + "' that is loaded", "none",
                "Client::models() lists them.");
  }
  Names names;
  const auto add = [&names](const std::string& name) {
    if (!has(names, name)) names.push_back(name);
  };
  const auto known_aliases = aliases(connection);
  for (const auto& [name, target] : known_aliases) {
    if (name == model || target == model) add(name);
  }
  for (const auto& [name, target] : known_aliases) {
    if (name == model) add(target);
  }
  add(model);
  for (const std::string& name : names) connection.unload(name);
  keep(connection, {}, names);
}

std::string roll_back(Connection& connection, const std::string& alias) {
  const std::string folder = files_of(connection).repository + "/" + alias;
  const bool plain = !alias.empty() && alias.find('/') == std::string::npos;
  if (!plain || access((folder + kBefore).c_str(), F_OK) != 0) {
    throw Error(Code::kModelNotFound, "a model that '" + alias + "' stood for before", "none",
                "`cineflow load` keeps the one that it replaces.");
  }
  // First the model: if it does not load, the alias stands for the present one.
  const std::string target = target_in(read_text(folder + kBefore));
  load(connection, target);
  swap_files(folder);
  load(connection, alias);
  return target;
}

}  // namespace cineflow_client
