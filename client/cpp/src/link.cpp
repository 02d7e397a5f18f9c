#include "link.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <deque>
#include <mutex>

namespace cineflow_client {
namespace {

enum Tag : std::intptr_t { kStarted = 1, kRead, kWritten, kFinished, kWatched };

void* tag_of(Tag tag) { return reinterpret_cast<void*>(static_cast<std::intptr_t>(tag)); }

}  // namespace

struct Link::Inside {
  std::shared_ptr<Connection> connection;
  grpc::CompletionQueue queue;
  grpc::ClientContext context, watch_context;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> call;
  std::unique_ptr<grpc::ClientAsyncResponseReader<cineflow_wire::ModelInferResponse>> watch;
  cineflow_wire::ModelInferResponse watch_response;
  grpc::Status status, watch_status;
  std::mutex lock;  // of what follows
  std::deque<Request> outbox;
  bool started = false, writing = false, ended = false;
  int under_way = 0;  // operations whose tag has not come

  void write_next() {  // with the lock held
    if (outbox.empty()) return;
    writing = true;
    ++under_way;
    call->Write(outbox.front(), tag_of(kWritten));
    outbox.pop_front();
  }
};

Link::Link(std::shared_ptr<Connection> connection, const std::string& traceparent)
    : inside_(std::make_unique<Inside>()) {
  inside_->connection = std::move(connection);
  // Triton's own trace takes the context from the call.
  if (!traceparent.empty()) inside_->context.AddMetadata("traceparent", traceparent);
  grpc::TemplatedGenericStub<Request, Response> stub(inside_->connection->channel());
  inside_->call = stub.PrepareCall(&inside_->context, kStreamInfer, &inside_->queue);
  inside_->under_way = 1;
  inside_->call->StartCall(tag_of(kStarted));
}

Link::~Link() {
  hang_up();
  if (inside_->under_way > 0) run([](std::unique_ptr<Response>) {});
  inside_->queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (inside_->queue.Next(&tag, &ok)) continue;
}

void Link::send(Request request) {
  const std::lock_guard<std::mutex> guard(inside_->lock);
  if (inside_->ended) return;
  inside_->outbox.push_back(std::move(request));
  if (inside_->started && !inside_->writing) inside_->write_next();
}

void Link::watch(Request request) {
  const std::lock_guard<std::mutex> guard(inside_->lock);
  if (inside_->ended || inside_->watch != nullptr) return;
  grpc::TemplatedGenericStub<Request, cineflow_wire::ModelInferResponse> stub(
      inside_->connection->channel());
  inside_->watch = stub.PrepareUnaryCall(&inside_->watch_context, kInfer, request, &inside_->queue);
  ++inside_->under_way;
  inside_->watch->StartCall();
  inside_->watch->Finish(&inside_->watch_response, &inside_->watch_status, tag_of(kWatched));
}

void Link::hang_up() {
  inside_->context.TryCancel();
  inside_->watch_context.TryCancel();
}

std::string Link::run(const std::function<void(std::unique_ptr<Response>)>& deliver) {
  Inside& in = *inside_;
  auto response = std::make_unique<Response>();
  bool read_failed = false, finishing = false;
  void* tag = nullptr;
  bool ok = false;
  while (in.queue.Next(&tag, &ok)) {
    std::unique_ptr<Response> arrived;
    {
      const std::lock_guard<std::mutex> guard(in.lock);
      --in.under_way;
      switch (static_cast<Tag>(reinterpret_cast<std::intptr_t>(tag))) {
        case kStarted:
          in.started = true;
          read_failed = !ok;
          if (ok) {
            ++in.under_way;
            in.call->Read(response.get(), tag_of(kRead));
            in.write_next();
          }
          break;
        case kRead:
          read_failed = !ok;
          if (ok) {
            arrived = std::move(response);
            response = std::make_unique<Response>();
            ++in.under_way;
            in.call->Read(response.get(), tag_of(kRead));
          }
          break;
        case kWritten:
          in.writing = false;
          if (ok && !read_failed) in.write_next();
          break;
        case kFinished:
        case kWatched:
          break;
      }
      if (read_failed && !in.writing && !finishing) {
        finishing = in.ended = true;
        in.outbox.clear();
        ++in.under_way;
        in.call->Finish(&in.status, tag_of(kFinished));
        in.watch_context.TryCancel();
      }
      if (finishing && in.under_way == 0) break;
    }
    if (arrived != nullptr) deliver(std::move(arrived));
  }
  if (in.status.ok()) return "the server closed the stream";
  return "status " + std::to_string(in.status.error_code()) + ": " + in.status.error_message();
}

}  // namespace cineflow_client
