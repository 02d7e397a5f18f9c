// The thread that receives the results of a stream, and goes on in another session after a loss.
#include <algorithm>
#include <cmath>

#include "errors.h"
#include "json.h"
#include "live.h"

namespace cineflow_client {
namespace {

/// In a stream, a model that is not found was unloaded.
Error stream_error(const std::string& message, const std::string& model) {
  const Error error = error_from_message(message, model);
  if (error.code() != Code::kModelNotFound) return error;
  return {Code::kModelUnloaded, model + ", the stream's model, at the server", "it was unloaded",
          "Open a new stream to what is served now; displacement starts from a new reference "
          "frame."};
}

/// Where the model's process takes direct connections, as the notes of a response say; "" if it
/// offers none.
std::string offered_name(const Response& response) {
  const auto& message = response.infer_response();
  const int count = std::min(message.outputs_size(), message.raw_output_contents_size());
  for (int k = 0; k < count; ++k) {
    if (message.outputs(k).name() != "notes") continue;
    try {
      return Json::parse(message.raw_output_contents(k)).text_of("direct");
    } catch (const JsonError&) {  // whoever reads the result says so
    }
  }
  return "";
}

}  // namespace

void Live::receive() noexcept {
  std::shared_ptr<Session> current = session();
  while (current != nullptr) {
    bool failed = false;
    std::string reason;
    const std::string ended = current->link.run([&](std::unique_ptr<Response> response) {
      try {
        deliver_by_call(*current, std::move(response));
      } catch (const std::exception& error) {  // also after a bug nobody must wait for ever
        reason = error.what();
        failed = true;
        current->hang_up();
      }
    });
    if (!failed) reason = ended;
    current = go_on(std::move(current), reason);
  }
}

void Live::deliver_by_call(Session& session, std::unique_ptr<Response> response) {
  const std::string& id = response->infer_response().id();
  if (id == kEndId) {
    sequence_ended();
    if (traffic_.broken() || interrupted()) session.hang_up();
    return;
  }
  if (id == kAliveId) {
    deliver(session, std::move(response));
    return;
  }
  bool first = false;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    first = id == session.starter;
  }
  const std::string name = first ? offered_name(*response) : "";
  --session.by_call;
  deliver(session, std::move(response));
  if (first) go_direct(session, name);
  if (session.by_call == 0) traffic_.hold(false);
}

void Live::deliver(Session& session, std::unique_ptr<Response> response) {
  const std::string id = response->infer_response().id();
  const std::string said = response->error_message();
  if (interrupted()) return;  // this frame is sent again
  const std::string again = kAgain;
  if (id == kAliveId || id.compare(0, again.size(), again) == 0) {
    // A question that the end has overtaken is about a sequence that is no more.
    if (!said.empty() && !closing_) lose(session, {stream_error(said, model_->info.served_name)});
    return;
  }
  if (id.empty() || id.size() > 19 || id.find_first_not_of("0123456789") != std::string::npos) {
    return;
  }
  const std::uint64_t number = std::stoull(id);
  Flight flight = traffic_.find(number);
  if (!flight.used) return;
  if (names_a_lost_region(said)) {
    if (without_ring(session, number, said)) return;
    const Error lost(Code::kServerDied, "a server that maps the stream's shared memory", said);
    lose(session, {lost, true});
    return;
  }
  if (!said.empty()) {
    if (flight.area >= 0) flight.memory->free_area(flight.area);
    {
      const std::lock_guard<std::mutex> guard(session_lock_);
      if (has_state_room_ == number) has_state_room_.reset();  // no state comes
    }
    const Error error = stream_error(said, model_->info.served_name);
    if (ends_stream(error.code())) {
      lose(session, {error});
    } else {
      refuse(number, error);
    }
    return;
  }
  const std::int64_t received_ns = now_ns();
  std::shared_ptr<Result> result;
  std::string state;
  try {
    result = reader_->read(std::move(response), flight.memory, flight.area, options_.slots, &state);
  } catch (const Error& error) {
    refuse(number, error);
    return;
  }
  time(session, flight, received_ns, *result);
  alive_ = true;
  attempts_ = 0;
  std::vector<FrameRef> freed;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    session.tell(std::llround(1e3 * result->latency_ms), late_frames_);
    if (options_.resume_s > 0) history_.answered(number, std::move(state), freed);
  }
  traffic_.free_buffers(freed);
  Outcome outcome;
  outcome.result = std::move(result);
  traffic_.finish(number, std::move(outcome));
}

void Live::time(Session& session, const Flight& flight, std::int64_t received_ns, Result& result) {
  result.latency_ms = static_cast<double>(received_ns - flight.sent_ns) / 1e6;
  if (declared_.late(result.latency_ms)) ++late_frames_;
  if (result.deadline) {
    auto& late_frames = result.deadline->late_frames;
    late_frames = std::max(late_frames, static_cast<std::int64_t>(late_frames_));
  }
  result.times.captured_ms = flight.time_ms;
  result.times.sent_s = 1e-9 * static_cast<double>(flight.sent_ns);
  result.times.received_s = 1e-9 * static_cast<double>(received_ns);
  session.clock.place(result.times);
}

void Live::refuse(std::uint64_t number, const Error& error) {
  std::vector<FrameRef> freed;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    history_.refused(number, freed);
  }
  traffic_.free_buffers(freed);
  Outcome outcome;
  outcome.error = std::make_shared<const Error>(error);
  traffic_.finish(number, std::move(outcome));
}

bool Live::without_ring(Session& session, std::uint64_t number, const std::string& said) {
  if (may_resume(Code::kServerDied)) return false;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    if (std::to_string(number) == session.starter) session.started = false;
    session.memory.reset();
    session.transport = Transport::kGrpc;
    session.transport_reason = "a server that no longer maps this stream's memory (" + said + ")";
  }
  refuse(number, Error(Code::kFrameRejected, "a server that maps the stream's shared memory", said,
                       "The stream goes on with gRPC tensors. Send this frame again, or leave it "
                       "out."));
  return true;
}

bool Live::may_resume(Code code) const noexcept {
  const bool lost =
      ends_stream(code) && code != Code::kStreamTimeout && code != Code::kModelUnloaded;
  return lost && alive_ && options_.resume_s > 0 && !closing_;
}

void Live::interrupt(const Loss& loss) {
  const std::lock_guard<std::mutex> guard(session_lock_);
  if (!interrupted_) interrupted_ = loss;
  traffic_.interrupt();
}

std::optional<Loss> Live::interrupted() {
  const std::lock_guard<std::mutex> guard(session_lock_);
  return interrupted_;
}

std::shared_ptr<Session> Live::session() {
  const std::lock_guard<std::mutex> guard(session_lock_);
  return session_;
}

void Live::fail(const Error& error) {
  traffic_.end(error);
  const std::lock_guard<std::mutex> guard(session_lock_);
  session_->hang_up();
}

void Live::lose(Session& session, const Loss& loss) {
  const Error& error = loss.why;
  if (may_resume(error.code())) {
    interrupt(loss);
  } else {
    traffic_.end(error);
  }
  if (error.code() == Code::kServerStopping || error.code() == Code::kServerBusy) {
    const std::lock_guard<std::mutex> guard(session_lock_);
    session.end();                                           // Triton still counts the sequence
    if (session.direct != nullptr) session.direct->close();  // nobody waits for its responses
  } else {
    session.hang_up();
  }
}

std::shared_ptr<Session> Live::go_on(std::shared_ptr<Session> ended, const std::string& reason) {
  end_direct(*ended);
  const auto said = interrupted();
  const Loss loss = said ? *said
                         : Loss{Error(Code::kServerDied, "a live connection to the server", reason,
                                      "Start the server again and open a new stream; displacement "
                                      "starts from a new reference frame.")};
  const Error& why = loss.why;
  const bool going_on = !traffic_.broken() && may_resume(why.code());
  if (going_on) {
    interrupt(loss);
  } else {
    traffic_.end(why);
    sequence_ended();
  }
  {
    std::shared_ptr<Memory> ring;  // goes after the lock
    const std::lock_guard<std::mutex> guard(session_lock_);
    ring = ended->finish();
  }
  ended->release(patience_);
  if (!going_on) return nullptr;
  if (why.code() == Code::kServerDied && !loss.of_ring) {
    std::vector<FrameRef> freed;
    std::optional<std::uint64_t> killing;
    {
      const std::lock_guard<std::mutex> guard(session_lock_);
      killing = history_.leave_out_what_kills(freed);
    }
    traffic_.free_buffers(freed);
    if (killing) {
      refuse(*killing, Error(Code::kFrameRejected, "a frame that the server survives",
                             "one that twice took the server down, or was lost with it",
                             "Look into the server's log. The stream goes on without this frame."));
    }
  }
  try {
    return next_session();
  } catch (const Error& error) {
    traffic_.end(error);
  } catch (const std::exception& error) {
    traffic_.end(Error(Code::kServerDied, "a stream that goes on", error.what()));
  }
  sequence_ended();
  return nullptr;
}

std::shared_ptr<Session> Live::next_session() {
  Loss last = *interrupted();
  if (attempts_ == 0) until_ns_ = after(options_.resume_s);
  while (true) {
    const double wait_s = std::min(0.05 * std::pow(2, std::min(attempts_, 8)), 1.0);
    if (after(wait_s) > until_ns_) {
      if (ends_stream(last.why.code()) && !last.of_ring) throw last.why;
      throw Error(Code::kServerDied,
                  "a server that takes the stream again within " + number(options_.resume_s) + " s",
                  last.why.what(),
                  "Open a new stream; displacement starts from a new reference frame.");
    }
    {
      std::unique_lock<std::mutex> guard(end_lock_);
      end_.wait_for(guard, std::chrono::duration<double>(wait_s),
                    [this] { return closing_.load(); });
    }
    if (closing_ || traffic_.broken()) throw closed_stream();
    ++attempts_;
    try {
      return begin();
    } catch (const Error& error) {
      last = {error};
    }
  }
}

std::shared_ptr<Session> Live::begin() {
  connection_->require_ready(model_->info.served_name, &patience_);
  std::map<std::string, Given> first;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    first = beginning();
  }
  auto next =
      std::make_shared<Session>(connection_, model_, declared_, resumed_ + 1, std::move(first));
  std::shared_ptr<Memory> memory;
  try {
    memory = next->settle(options_.transport, buffers_, frame_bytes_, options_.slots + kLeases,
                          wanted_, padding_.size(), true, patience_);
  } catch (...) {
    next->release(patience_);
    throw;
  }
  auto frames = std::make_shared<Frames>(memory, buffers_);
  std::unique_lock<std::mutex> guard(session_lock_);
  if (closing_ || traffic_.broken()) {  // who ended the stream has not seen this session
    guard.unlock();
    next->release(patience_);
    throw closed_stream();
  }
  for (const Sent& sent : history_.to_send_again()) {
    const std::string id = std::to_string(sent.number);
    const Sizes& size = padding_.size();
    if (sent.answered) {
      // Readings on request are those that the first request names.
      const auto names = next->started ? std::vector<std::string>{"indices"} : wanted_;
      ++next->by_call;
      next->link.send(
          next->request(kAgain + id, sent.step(), sent.pixels(), size, FrameRef(), -1, names));
    } else {
      const int area = take_area(*next, sent.number);
      ++next->by_call;
      next->link.send(next->request(id, sent.step(), sent.pixels(), size, FrameRef(), area,
                                    outputs(sent.asked)));
    }
  }
  session_ = next;
  has_state_room_.reset();
  interrupted_.reset();
  ++resumed_;
  traffic_.resume(std::move(frames));
  return next;
}

}  // namespace cineflow_client
