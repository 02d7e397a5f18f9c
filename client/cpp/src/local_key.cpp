#include "local_key.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "json.h"

namespace cineflow_client {
namespace {

bool is_private(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

/// Whether every address of `host` is one of this machine: only an own address can be bound to.
bool is_here(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), "0", &hints, &found) != 0) return false;
  bool here = found != nullptr;
  for (const addrinfo* one = found; one != nullptr && here; one = one->ai_next) {
    const int probe = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    here = probe >= 0 && bind(probe, one->ai_addr, one->ai_addrlen) == 0;
    if (probe >= 0) close(probe);
  }
  freeaddrinfo(found);
  return here;
}

std::string key_folder() {
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  struct stat status;
  if (base != nullptr && stat(base, &status) == 0 && S_ISDIR(status.st_mode)) {
    return std::string(base) + "/cineflow";
  }
  return "/tmp/cineflow-keys-" + std::to_string(geteuid());
}

/// A file that the server at `url` left for this user; "" unless it is here and nobody else's.
std::string read_private(const std::string& url, const char* suffix) {
  const auto colon = url.rfind(':');
  if (colon == std::string::npos) return "";
  std::string host = url.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (!is_here(host)) return "";
  const std::string folder = key_folder();
  struct stat status;
  if (lstat(folder.c_str(), &status) != 0 || !is_private(status)) return "";
  const std::string path = folder + "/" + url.substr(colon + 1) + suffix;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string text;
  if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && is_private(status)) {
    char buffer[4096];
    ssize_t count;
    while ((count = read(file, buffer, sizeof(buffer))) > 0 && text.size() < 65536) {
      text.append(buffer, static_cast<std::size_t>(count));
    }
  }
  close(file);
  return text;
}

}  // namespace

std::string read_key(const std::string& url) { return read_private(url, ".key"); }

std::optional<ModelFiles> read_model_files(const std::string& url) {
  try {
    const auto parts = Json::parse(read_private(url, ".models")).as_texts();
    if (parts.size() == 2) return ModelFiles{parts[0], parts[1]};
  } catch (const JsonError&) {  // an absent file comes here as well
  }
  return std::nullopt;
}

}  // namespace cineflow_client
