// The gRPC channel to one server, and the calls that client and streams make on it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cineflow_client.hpp"
#include "patience.h"
#include "spec.h"
#include "wire.pb.h"

namespace grpc {
class Channel;
}

namespace cineflow_client {

/// Paths of the methods.
inline constexpr const char* kStreamInfer = "/inference.GRPCInferenceService/ModelStreamInfer";
inline constexpr const char* kInfer = "/inference.GRPCInferenceService/ModelInfer";

class Connection {
 public:
  /// Throws kServerUnavailable: `url` is not an address host:port. kCertificateUnusable.
  Connection(const std::string& url, const ClientOptions& options);

  const std::string& url() const noexcept { return url_; }
  const std::shared_ptr<grpc::Channel>& channel() const noexcept { return channel_; }
  double timeout_s() const noexcept { return timeout_s_; }
  /// gRPC does not work in a forked child that inherited it.
  bool is_own() const noexcept;
  void require_own() const;  // throws kOtherProcess
  void close() noexcept { closed_ = true; }

  bool ready();
  std::string server_version();
  std::map<std::string, std::string> models();
  Model model(const std::string& name);
  ServerTimes times(const std::string& model);
  /// The model behind an alias; "" for other models.
  std::string target(const std::string& name);
  /// Load or unload a model. `control.h` has what goes with it.
  void load(const std::string& name);
  void unload(const std::string& name);
  cineflow_wire::ModelInferResponse infer(const cineflow_wire::ModelInferRequest& request,
                                          const Patience* patience = nullptr);
  /// Throws unless the server responds and has `model` ready.
  void require_ready(const std::string& model, const Patience* patience);

  /// Make the server map /dev/shm/`name`. Throws kSharedMemoryUnavailable, kServerUnavailable.
  void register_memory(const std::string& name, std::size_t byte_size, const Patience* patience);
  /// Make the server unmap a region. It refuses while it still computes with it, and is asked again
  /// until `wait_s` are over. If it does not, the next `register_memory` tries again.
  void release_memory(const std::string& name, const Patience* patience,
                      double wait_s = 10.0) noexcept;

 private:
  template <typename Request, typename Response>
  void ask(const char* method, const Request& request, Response& response,
           const std::string& about = "the server", bool with_key = false, double timeout_s = 0,
           const Patience* patience = nullptr);
  cineflow_wire::ModelConfig config(const std::string& name);
  void release_leftovers(const Patience* patience) noexcept;

  std::string url_;
  double timeout_s_;
  bool secure_;
  pid_t process_;
  std::atomic<bool> closed_{false};
  std::shared_ptr<grpc::Channel> channel_;
  std::mutex lock_;                     // of what follows
  std::vector<std::string> leftovers_;  // regions that the server has not unmapped
};

}  // namespace cineflow_client
