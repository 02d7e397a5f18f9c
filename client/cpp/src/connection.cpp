#include "connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "certificates.h"
#include "errors.h"
#include "local_key.h"
#include "lock.h"
#include "memory.h"
#include "session.h"

namespace cineflow_client {
namespace {

constexpr const char* kService = "/inference.GRPCInferenceService/";
/// A model asks its engine for its known results before it is ready.
constexpr double kLoadS = 120;
/// How often a server is asked to unmap a region that it still uses.
constexpr auto kReleaseStep = std::chrono::milliseconds(50);
/// Regions that are remembered because the server has not unmapped them.
constexpr std::size_t kMostLeftovers = 64;
/// How often a call looks whether it is to be given up.
constexpr auto kPatienceStep = std::chrono::milliseconds(20);

/// Messages of any size, and a peer that has gone silent is noticed within 7 s (docs/protocol.md).
constexpr struct {
  const char* name;
  int value;
} kOptions[] = {
    {"grpc.max_receive_message_length", -1},    {"grpc.max_send_message_length", -1},
    {"grpc.keepalive_time_ms", 5000},           {"grpc.keepalive_timeout_ms", 2000},
    {"grpc.http2.ping_timeout_ms", 2000},       {"grpc.keepalive_permit_without_calls", 0},
    {"grpc.http2.max_pings_without_data", 0},   {"grpc.use_local_subchannel_pool", 1},
    {"grpc.initial_reconnect_backoff_ms", 100}, {"grpc.min_reconnect_backoff_ms", 1000},
    {"grpc.max_reconnect_backoff_ms", 1000},
};

/// A server with TLS does not tell a client that it refuses: it closes the connection.
constexpr const char* kAboutTheServer =
    "Start one (`cineflow serve`), or check that this is its gRPC port. A server that was started "
    "with --secure closes the connection of a client without certificates "
    "(ClientOptions::secure).";
constexpr const char* kAboutCertificates =
    "Check that a server with --secure runs there (`cineflow serve --secure`), that its CA signed "
    "the client's certificate, and that its certificate has the host of this address.";

const char* name_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    default:
      return "ERROR";
  }
}

bool is_address(const std::string& url) {
  const auto colon = url.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == url.size()) return false;
  if (url.find_first_of("/ \t\n") != std::string::npos) return false;
  const std::string port = url.substr(colon + 1);
  if (port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos) return false;
  const int number = std::atoi(port.c_str());
  return number > 0 && number <= 65535;
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const ClientOptions& options) {
  if (options.secure.empty() && !options.tls) return grpc::InsecureChannelCredentials();
  const Tls tls = options.secure.empty() ? *options.tls : read_certificates(options.secure);
  grpc::SslCredentialsOptions pem;
  pem.pem_root_certs = tls.root_certificates;
  pem.pem_cert_chain = tls.certificate_chain;
  pem.pem_private_key = tls.private_key;
  return grpc::SslCredentials(pem);
}

}  // namespace

Connection::Connection(const std::string& url, const ClientOptions& options)
    : url_(url.compare(0, 7, "grpc://") == 0 ? url.substr(7) : url),
      timeout_s_(options.timeout_s),
      secure_(!options.secure.empty() || options.tls),
      process_(getpid()) {
  if (!is_address(url_)) {
    throw Error(Code::kServerUnavailable, "an address host:port of a server's gRPC interface",
                "'" + url + "'", "For example 127.0.0.1:8001, the default of `cineflow serve`.");
  }
  if (!(timeout_s_ > 0)) {
    throw Error(Code::kCineflowClientError, "a timeout above 0 s", std::to_string(timeout_s_));
  }
  grpc::ChannelArguments arguments;
  for (const auto& option : kOptions) arguments.SetInt(option.name, option.value);
  channel_ = grpc::CreateCustomChannel(url_, credentials(options), arguments);
}

bool Connection::is_own() const noexcept { return getpid() == process_; }

void Connection::require_own() const {
  if (is_own()) return;
  throw Error(Code::kOtherProcess, "the process that made the client",
              "process " + std::to_string(getpid()) + ", a fork of it",
              "Make a new Client in this process.");
}

template <typename Request, typename Response>
void Connection::ask(const char* method, const Request& request, Response& response,
                     const std::string& about, bool with_key, double timeout_s,
                     const Patience* patience) {
  require_own();
  if (closed_) {
    throw Error(Code::kStreamClosed, "an open client", "one that was closed", "Make a new Client.");
  }
  if (timeout_s <= 0) timeout_s = timeout_s_;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::microseconds(static_cast<std::int64_t>(timeout_s * 1e6)));
  if (with_key) {
    const std::string key = read_key(url_);
    if (!key.empty()) context.AddMetadata(kKeyHeader, key);
  }
  grpc::TemplatedGenericStub<Request, Response> stub(channel_);
  grpc::CompletionQueue queue;
  grpc::Status status;
  const auto call =
      stub.PrepareUnaryCall(&context, std::string(kService) + method, request, &queue);
  call->StartCall();
  call->Finish(&response, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  const auto step = [] { return std::chrono::system_clock::now() + kPatienceStep; };
  while (patience != nullptr && !patience->is_over() &&
         queue.AsyncNext(&tag, &ok, step()) == grpc::CompletionQueue::TIMEOUT) {
    continue;
  }
  if (tag == nullptr) {
    if (patience != nullptr) context.TryCancel();
    queue.Next(&tag, &ok);
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) continue;
  if (status.ok()) return;
  const std::string& details = status.error_message();
  const bool gone = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  // Triton also says UNAVAILABLE for an "unknown model" without a ready version, and for what is
  // restricted or not allowed.
  const bool answered = contains(details, "unknown model") ||
                        contains(details, "protocol is restricted") ||
                        contains(details, "unload is not allowed");
  if (gone && !answered) {
    throw Error(Code::kServerUnavailable, "a server at " + url_,
                std::string(name_of(status.error_code())) + ": " + details,
                secure_ ? kAboutCertificates : kAboutTheServer);
  }
  throw error_from_message(details, about);
}

bool Connection::ready() {
  cineflow_wire::ServerReadyResponse response;
  ask("ServerReady", cineflow_wire::ServerReadyRequest(), response);
  return response.ready();
}

std::string Connection::server_version() {
  cineflow_wire::ServerMetadataResponse response;
  ask("ServerMetadata", cineflow_wire::ServerMetadataRequest(), response);
  return response.version();
}

std::map<std::string, std::string> Connection::models() {
  cineflow_wire::RepositoryIndexResponse response;
  ask("RepositoryIndex", cineflow_wire::RepositoryIndexRequest(), response, "the server", true);
  std::map<std::string, std::string> found;
  for (const auto& model : response.models()) found[model.name()] = model.state();
  return found;
}

cineflow_wire::ModelConfig Connection::config(const std::string& name) {
  cineflow_wire::ModelConfigRequest request;
  request.set_name(name);
  cineflow_wire::ModelConfigResponse response;
  ask("ModelConfig", request, response, name);
  return response.config();
}

Model Connection::model(const std::string& name) {
  const auto first = config(name);
  const std::string target = alias_target(first);
  return read_model(name, target.empty() ? first : config(target));
}

ServerTimes Connection::times(const std::string& model) {
  cineflow_wire::ModelStatisticsRequest request;
  request.set_name(model);
  cineflow_wire::ModelStatisticsResponse response;
  ask("ModelStatistics", request, response, model);
  if (response.model_stats_size() != 1) {
    throw Error(Code::kModelNotFound, "statistics of the model '" + model + "'",
                std::to_string(response.model_stats_size()) + " of them",
                "Client::models() lists what is served.");
  }
  const auto& stats = response.model_stats(0).inference_stats();
  const std::uint64_t in_model =
      stats.compute_input().ns() + stats.compute_infer().ns() + stats.compute_output().ns();
  return {stats.success().count(), 1e-9 * static_cast<double>(stats.queue().ns()),
          1e-9 * static_cast<double>(in_model)};
}

std::string Connection::target(const std::string& name) { return alias_target(config(name)); }

void Connection::load(const std::string& name) {
  cineflow_wire::RepositoryModelLoadRequest request;
  request.set_model_name(name);
  cineflow_wire::RepositoryModelLoadResponse response;
  ask("RepositoryModelLoad", request, response, name, true, kLoadS);
}

void Connection::unload(const std::string& name) {
  cineflow_wire::RepositoryModelUnloadRequest request;
  request.set_model_name(name);
  cineflow_wire::RepositoryModelUnloadResponse response;
  ask("RepositoryModelUnload", request, response, name, true, kLoadS);
}

cineflow_wire::ModelInferResponse Connection::infer(const cineflow_wire::ModelInferRequest& request,
                                                    const Patience* patience) {
  cineflow_wire::ModelInferResponse response;
  ask("ModelInfer", request, response, request.model_name(), false, 0, patience);
  return response;
}

void Connection::require_ready(const std::string& model, const Patience* patience) {
  cineflow_wire::ModelReadyRequest request;
  request.set_name(model);
  cineflow_wire::ModelReadyResponse response;
  ask("ModelReady", request, response, model, false, 0, patience);
  if (!response.ready()) {
    throw Error(Code::kServerUnavailable, "the model '" + model + "' ready",
                "a server that does not have it");
  }
  // Triton calls a model ready whose process has died, so the process is asked as well.
  try {
    infer(probe_request(model), patience);
  } catch (const Error& error) {
    if (error.code() != Code::kServerBusy) throw;  // it lives, and has no place now
  }
}

void Connection::register_memory(const std::string& name, std::size_t byte_size,
                                 const Patience* patience) {
  cineflow_wire::SystemSharedMemoryRegisterRequest request;
  request.set_name(name);
  request.set_key("/" + name);
  request.set_byte_size(byte_size);
  cineflow_wire::SystemSharedMemoryRegisterResponse response;
  try {
    ask("SystemSharedMemoryRegister", request, response, "the server", true, 0, patience);
  } catch (const Error& error) {
    if (error.code() == Code::kServerUnavailable || error.code() == Code::kStreamClosed ||
        error.code() == Code::kOtherProcess) {
      throw;
    }
    throw Error(Code::kSharedMemoryUnavailable,
                "a server that can map this machine's shared memory", error.got(),
                "Use gRPC tensors for a server on another machine or of another user. Triton 2.69 "
                "and newer need --allow-client-shm=true.");
  }
  release_leftovers(patience);
}

void Connection::release_memory(const std::string& name, const Patience* patience,
                                double wait_s) noexcept {
  cineflow_wire::SystemSharedMemoryUnregisterRequest request;
  request.set_name(name);
  const std::int64_t until = after(wait_s);
  while (true) {
    try {
      cineflow_wire::SystemSharedMemoryUnregisterResponse response;
      ask("SystemSharedMemoryUnregister", request, response, "the server", true, 0, patience);
      return;
    } catch (const std::exception& error) {
      // The server still computes a frame of the ring. Otherwise it is gone, or says nothing.
      const bool given_up = patience != nullptr && patience->is_over();
      if (contains(error.what(), "in use") && now_ns() < until && !given_up) {
        std::this_thread::sleep_for(kReleaseStep);
        continue;
      }
      const std::lock_guard<std::mutex> guard(lock_);
      if (leftovers_.size() < kMostLeftovers) leftovers_.push_back(name);
      return;
    }
  }
}

void Connection::release_leftovers(const Patience* patience) noexcept {
  std::vector<std::string> own;
  {
    const std::lock_guard<std::mutex> guard(lock_);
    own.swap(leftovers_);
  }
  for (const std::string& name : own) release_memory(name, patience, 0);
  // Only after a region of our own was mapped. That proves that the server runs on this machine and
  // that the names refer to processes here.
  try {
    cineflow_wire::SystemSharedMemoryStatusResponse response;
    ask("SystemSharedMemoryStatus", cineflow_wire::SystemSharedMemoryStatusRequest(), response,
        "the server", true, 0, patience);
    std::vector<std::string> names;
    for (const auto& [name, status] : response.regions()) names.push_back(name);
    for (const std::string& name : orphaned(names)) release_memory(name, patience, 0);
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace cineflow_client
