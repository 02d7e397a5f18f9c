// A bidirectional call to the server, and the watch next to it, on one completion queue.
//
// `send` may be called by any thread and never waits. One thread calls `run`, which hands over the
// responses, writes what waits, and returns when the call has ended.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "connection.h"
#include "messages.h"

namespace cineflow_client {

class Link {
 public:
  /// `traceparent`: the trace that the call belongs to; "" for none.
  Link(std::shared_ptr<Connection> connection, const std::string& traceparent);
  ~Link();
  Link(const Link&) = delete;

  /// Send a request, or let it wait for the one before it.
  void send(Request request);
  /// Keep a call open, by which the server sees that this program lives.
  void watch(Request request);
  /// End the call at once. From any thread.
  void hang_up();
  /// Hand over responses until the call ends; returns why it did.
  std::string run(const std::function<void(std::unique_ptr<Response>)>& deliver);

 private:
  struct Inside;  // gRPC's headers take seconds to compile, and stay out of here
  const std::unique_ptr<Inside> inside_;
};

}  // namespace cineflow_client
