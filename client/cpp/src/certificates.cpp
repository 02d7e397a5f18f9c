#include "certificates.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace cineflow_client {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;

std::string content(const std::string& path, const char* wanted, bool is_secret) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (file < 0 || fstat(file, &status) != 0 || S_ISDIR(status.st_mode)) {
    const int why = file < 0 ? errno : EISDIR;
    if (file >= 0) close(file);
    throw Error(Code::kCertificateUnusable, "the file " + path, std::strerror(why),
                "Ask who runs the server for ca.crt, client.crt and client.key.");
  }
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while (text.size() < kMostBytes && (count = read(file, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  close(file);
  // gRPC would only say, with the first call, that no server can be reached.
  if (text.find(std::string(wanted) + "-----") == std::string::npos) {
    throw Error(Code::kCertificateUnusable, path + ": PEM with a " + wanted, "a file without one");
  }
  if (is_secret && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof(mode), "%04o", status.st_mode & 07777u);
    throw Error(Code::kCertificateUnusable, path + " readable by its owner only",
                std::string("permissions ") + mode, "chmod 600 " + path);
  }
  return text;
}

}  // namespace

Tls read_certificates(const std::string& folder) {
  Tls tls;
  tls.private_key = content(folder + "/client.key", "PRIVATE KEY", true);
  tls.root_certificates = content(folder + "/ca.crt", "CERTIFICATE", false);
  tls.certificate_chain = content(folder + "/client.crt", "CERTIFICATE", false);
  return tls;
}

}  // namespace cineflow_client
