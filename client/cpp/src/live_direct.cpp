// The direct connection of a stream: how frames leave by it, and what comes of them.
#include <cstring>
#include <stdexcept>

#include "errors.h"
#include "live.h"

namespace cineflow_client {
namespace {

/// How long a part of a message may take to leave until the feeding thread looks around again.
constexpr int kFlushMs = 20;

}  // namespace

// --- A sender's side -----------------------------------------------------------------------------

bool Live::leave_at_once() noexcept {
  if (options_.dtype != DataType::kUint8) return false;  // floats are checked, which takes longer
  std::unique_lock<std::mutex> guard(session_lock_, std::try_to_lock);
  if (!guard.owns_lock()) return false;
  Session& session = *session_;
  const bool whole_range = model_->least_grey <= 0 && model_->most_grey >= 255;
  const bool ready = session.goes_directly() && !interrupted_ && !session.over && whole_range &&
                     !dark_ && history_.has_room() && traffic_.buffers_left() > options_.slots;
  if (!ready) return false;
  const FrameRef frame = traffic_.next_frame(timeout_ns());
  if (!frame) return false;
  if (frame.frames->memory != session.memory || frame.step().given_count > 0) {  // hardly ever
    guard.unlock();
    send(frame, false);
    return true;
  }
  leave_directly(session, frame, keep(frame), false) ? traffic_.sent() : traffic_.flush_later();
  return true;
}

bool Live::leave_directly(Session& session, const FrameRef& frame, bool asked,
                          bool leads) noexcept {
  const std::uint64_t number = frame.step().number;
  const int area = take_area(session, number);
  const bool has_room = asked && !has_state_room_ && session.memory->state_part().bytes > 0;
  if (has_room) has_state_room_ = number;
  return session.send_directly({number, frame, area, asked, has_room}, leads);
}

FrameRef Live::in_ring(const Session& session, const FrameRef& frame) {
  if (frame.frames->memory == session.memory) return frame;
  // Its slot was taken before the stream was resumed, in the ring of that time.
  const FrameRef other = traffic_.another_buffer(frame);
  if (!other) {
    throw Error(Code::kFrameRejected, "room in the ring of the resumed stream", "none",
                "Send this frame again, or leave it out.");
  }
  const auto buffer = static_cast<std::size_t>(other.buffer);
  std::memcpy(other.frames->memory->frame(other.buffer), frame.pixels(), frame_bytes_);
  other.frames->layouts[buffer] = frame.step().dtype;
  other.step() = frame.step();
  return other;
}

void Live::flush() noexcept {
  const std::shared_ptr<Session> current = session();
  if (current->direct == nullptr || current->direct->flush(kFlushMs)) traffic_.sent();
}

Outcome Live::wait_for(std::uint64_t number) {
  std::shared_ptr<Direct> direct;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    direct = session_->direct;
  }
  if (direct != nullptr && direct->awaits(number)) {
    direct->lead([this, number] { return !traffic_.waits_for(number); });
  }
  return traffic_.wait(number);
}

bool Live::direct() {
  if (!is_own()) return false;
  const std::lock_guard<std::mutex> guard(session_lock_);
  return session_->goes_directly() && !interrupted_;
}

// --- The thread that reads -----------------------------------------------------------------------

void Live::deliver_directly(Session& session, std::unique_ptr<Response> response) {
  deliver(session, std::move(response));
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    if (!interrupted_ && !session.over) session.ask_now_and_then();
  }
  help();  // a frame may have waited for a slot
}

void Live::keep_state(Session& session, std::uint64_t number, const StateSaid& said) {
  std::shared_ptr<Memory> ring;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    ring = session.memory;
    if (interrupted_ || (said.in_ring && (has_state_room_ != number || ring == nullptr))) return;
  }
  if (said.in_ring) {
    const Part& room = ring->state_part();
    if (said.bytes > room.bytes) throw std::runtime_error("a state that is larger than its room");
    last_state_.assign(
        reinterpret_cast<const char*>(ring->at(ring->part_offset(ring->state_area(), room))),
        said.bytes);
  } else {
    last_state_.assign(said.payload);
  }
  std::vector<FrameRef> freed;
  {
    const std::lock_guard<std::mutex> guard(session_lock_);
    if (said.in_ring) has_state_room_.reset();
    if (interrupted_) return;
    history_.keep_state(number, last_state_, freed);
  }
  traffic_.free_buffers(freed);
}

void Live::direct_ended(Session& session, const std::string& reason) {
  if (!reason.empty()) {
    lose(session, {Error(Code::kServerDied, "a model whose process runs", reason,
                         "Its streams are lost with their state. `cineflow serve` starts it again: "
                         "open a new stream in a moment.")});
    return;
  }
  const std::lock_guard<std::mutex> guard(session_lock_);
  const std::vector<DirectFrame> left = session.direct->retire();
  if (interrupted_ || session.over || traffic_.broken()) return;
  for (const DirectFrame& one : left) {
    Request request =
        session.request(std::to_string(one.number), one.frame.step(), one.frame.pixels(),
                        padding_.size(), one.frame, one.area, outputs(one.asked));
    ++session.by_call;
    session.link.send(std::move(request));
  }
}

// --- The receiving thread ------------------------------------------------------------------------

void Live::go_direct(Session& session, const std::string& name) {
  const std::shared_ptr<Memory> ring = session.memory;
  if (ring == nullptr || follower_.joinable()) return;
  const auto given_up = [this] { return closing_ || traffic_.broken(); };
  std::shared_ptr<Direct> direct;
  if (!name.empty() && session.direct == nullptr && !given_up() && !interrupted()) {
    try {
      direct = session.open_direct(name, padding_.size(), wanted_, options_.slots, given_up);
      direct->on(
          [this, &session](auto response) { deliver_directly(session, std::move(response)); },
          [this, &session](std::uint64_t number, const StateSaid& said) {
            keep_state(session, number, said);
          },
          [this, &session](const std::string& reason) { direct_ended(session, reason); });
      follower_ = std::thread([direct] { direct->follow(); });
    } catch (const std::exception&) {  // not here: frames go by the call, as before
      direct = nullptr;
    }
  }
  ring->keep_to_itself();
  if (direct == nullptr) return;
  const std::lock_guard<std::mutex> guard(session_lock_);
  if (interrupted_ || given_up()) {
    direct->close();
    return;
  }
  session.direct = std::move(direct);
  traffic_.hold(session.by_call > 0);  // else a busy stream would never get there
}

void Live::end_direct(Session& session) noexcept {
  if (session.direct != nullptr) {
    session.direct->close();
    session.direct->release();
  }
  if (follower_.joinable()) follower_.join();
}

}  // namespace cineflow_client
