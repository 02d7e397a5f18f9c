#include "errors.h"

#include <cctype>

#include "json.h"

namespace cineflow_client {

const char* name(Code code) noexcept {
  switch (code) {
    case Code::kOk:
      return "Ok";
    case Code::kCineflowClientError:
      return "CineflowClientError";
    case Code::kFrameRejected:
      return "FrameRejected";
    case Code::kFrameDropped:
      return "FrameDropped";
    case Code::kStreamBusy:
      return "StreamBusy";
    case Code::kServerRefused:
      return "ServerRefused";
    case Code::kServerDied:
      return "ServerDied";
    case Code::kServerStopping:
      return "ServerStopping";
    case Code::kModelUnloaded:
      return "ModelUnloaded";
    case Code::kServerBusy:
      return "ServerBusy";
    case Code::kStreamExpired:
      return "StreamExpired";
    case Code::kStreamTimeout:
      return "StreamTimeout";
    case Code::kStreamClosed:
      return "StreamClosed";
    case Code::kOtherProcess:
      return "OtherProcess";
    case Code::kServerUnavailable:
      return "ServerUnavailable";
    case Code::kCertificateUnusable:
      return "CertificateUnusable";
    case Code::kModelNotFound:
      return "ModelNotFound";
    case Code::kSharedMemoryUnavailable:
      return "SharedMemoryUnavailable";
  }
  return "CineflowClientError";
}

bool ends_stream(Code code) noexcept {
  switch (code) {
    case Code::kServerDied:
    case Code::kServerStopping:
    case Code::kModelUnloaded:
    case Code::kServerBusy:
    case Code::kStreamExpired:
    case Code::kStreamTimeout:
      return true;
    default:
      return false;
  }
}

Error::Error(Code code, std::string wanted, std::string got, std::string remedy)
    : code_(code),
      wanted_(std::move(wanted)),
      got_(std::move(got)),
      remedy_(std::move(remedy)),
      text_("wanted " + wanted_ + "; got " + got_ + (remedy_.empty() ? "" : ". " + remedy_)) {}

bool contains(const std::string& text, const char* words) noexcept {
  return text.find(words) != std::string::npos;
}

bool names_a_lost_region(const std::string& message) noexcept {
  return contains(message, "Unable to find shared memory region");
}

Error closed_stream() {
  return {Code::kStreamClosed, "an open stream", "one that was closed", "Open a new stream."};
}

Error other_process() {
  return {Code::kOtherProcess, "the process that opened the stream", "a fork of it",
          "Make a new Client in this process and open a stream of its own."};
}

namespace {

Code code_of(const std::string& server_name) {
  if (server_name == "FrameError" || server_name == "ArgumentError" ||
      server_name == "ProfileError") {
    return Code::kFrameRejected;
  }
  if (server_name == "StreamGoneError") return Code::kStreamExpired;
  if (server_name == "ServerStoppingError") return Code::kServerStopping;
  if (server_name == "PlacesTakenError") return Code::kServerBusy;
  return Code::kServerRefused;
}

/// A typed error: its name, then its parts as JSON. Triton writes text around it.
std::unique_ptr<Error> typed(const std::string& message) {
  const std::string mark = "Error: {";
  for (auto found = message.find(mark); found != std::string::npos;
       found = message.find(mark, found + 1)) {
    auto start = found;
    const auto in_word = [](char letter) {
      return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_';
    };
    while (start > 0 && in_word(message[start - 1])) --start;
    if (start == found) continue;
    try {
      const Json parts = Json::parse(std::string_view(message).substr(found + mark.size() - 1));
      return std::make_unique<Error>(code_of(message.substr(start, found + 5 - start)),
                                     parts.at("wanted").as_text(), parts.at("got").as_text(),
                                     parts.at("remedy").as_text());
    } catch (const JsonError&) {
      return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

Error error_from_message(const std::string& message, const std::string& model) {
  if (const auto error = typed(message)) return *error;
  if (contains(message, "must specify the START flag")) {
    return {Code::kStreamExpired, "a stream that the server still knows",
            "one that it dropped: it was idle for too long, or its model was reloaded",
            "Open a new stream; displacement starts from a new reference frame."};
  }
  if (contains(message, "shared memory pool size")) {
    return {Code::kServerRefused, "room for this frame and its results in the server's /dev/shm",
            message,
            "Send smaller frames, ask for fewer outputs, or start the server with a larger one "
            "(docker: --shm-size)."};
  }
  if (contains(message, "Stub process is unhealthy") ||
      (contains(message, "Stub process '") && contains(message, "' is not healthy"))) {
    return {Code::kServerDied, "a model whose process runs", message,
            "Its streams are lost with their state. `cineflow serve` starts it again: open a new "
            "stream in a moment."};
  }
  if (contains(message, "Server is stopping")) {
    return {Code::kServerStopping, "a server that keeps running", message,
            "Start the server again and open a new stream; displacement starts from a new "
            "reference frame."};
  }
  if (contains(message, "protocol is restricted")) {
    return {Code::kServerRefused, "a program of the server's own user, on the server's machine",
            "one that does not send the server's key",
            "Run it as the user that started the server."};
  }
  if (contains(message, "load / unload is not allowed")) {
    return {Code::kServerRefused, "a server whose models can change", "one with fixed models",
            "`cineflow serve` starts one."};
  }
  const bool no_statistics =
      contains(message, "requested model '") && contains(message, "' is not available");
  if (no_statistics || contains(message, "unknown model") || contains(message, "is not found") ||
      contains(message, "failed to poll from model repository")) {  // it is to be loaded
    return {Code::kModelNotFound, "the model '" + model + "'", message,
            "Client::models() lists what is served."};
  }
  if (contains(message, "not ready") || contains(message, "unloading")) {
    return {Code::kServerUnavailable, "the model '" + model + "' ready", message,
            "Try again in a moment, or ask Client::models()."};
  }
  return {Code::kServerRefused, "a result from " + model,
          message.empty() ? "an error without text" : message, "The server's log says more."};
}

}  // namespace cineflow_client
