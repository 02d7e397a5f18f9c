// The traffic of a stream: its end, and what interrupts it.
#include <algorithm>

#include "traffic.h"

namespace cineflow_client {
namespace {

/// How long a server that refuses a stream may take to end its sequence.
constexpr double kHangUpS = 2;

}  // namespace

void Traffic::end(const Error& error) {
  const auto why = std::make_shared<const Error>(error);
  const std::size_t most = 2 * static_cast<std::size_t>(slots_) + 1 + line_most_ + 1;
  std::vector<Outcome> ended, given_up;
  ended.reserve(most);
  given_up.reserve(most);
  {
    const std::lock_guard<Lock> guard(lock_);
    if (broken_ == nullptr) broken_ = why;
    alive_every_ns_ = 0;
    const auto settle = [&](std::uint64_t number, FrameRef& frame) {
      release(frame);
      ended.push_back({number, nullptr, broken_});
    };
    for (Flight& one : flights_) {
      if (one.used) settle(one.number, one.frame);
      one = {};
    }
    for (FixedQueue<FrameRef>* queue : {&queue_, &line_}) {
      while (!queue->empty()) {
        FrameRef frame = queue->pop();
        settle(frame.step().number, frame);
      }
    }
    std::sort(ended.begin(), ended.end(),
              [](const Outcome& one, const Outcome& other) { return one.frame < other.frame; });
    if (!on_outcome_) {
      for (const Outcome& one : ended) given_up.push_back(put_outcome(one));
    } else {
      ended_.insert(ended_.end(), ended.begin(), ended.end());
    }
    hang_up_ns_ = kNever;
    freed_.notify_all();
    arrived_.notify_all();
    left_.notify_all();
    work_.notify_all();
  }
}

void Traffic::close() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  closed_ = true;
  alive_every_ns_ = 0;
  freed_.notify_all();
}

void Traffic::freeze(std::int64_t every_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (broken_ != nullptr || closed_) return;
  if (alive_every_ns_ == 0) alive_ns_ = 0;
  alive_every_ns_ = every_ns;
  work_.notify_one();
}

void Traffic::hold(bool held) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (held_ && !held) work_.notify_one();
  held_ = held;
}

void Traffic::interrupt() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  interrupted_ = true;
  hang_up_ns_ = after(kHangUpS);
  work_.notify_one();
}

void Traffic::resume(std::shared_ptr<Frames> frames) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (frames != nullptr) frames_ = std::move(frames);
  interrupted_ = held_ = false;
  hang_up_ns_ = kNever;
  const std::int64_t now = now_ns();
  for (Flight& one : flights_) one.waits_ns = std::max(one.waits_ns, now);
  freed_.notify_all();
  work_.notify_all();
}

std::shared_ptr<const Error> Traffic::ended() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return broken_ != nullptr ? broken_ : closed_ ? closed_error_ : nullptr;
}

bool Traffic::broken() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return broken_ != nullptr;
}

int Traffic::buffers_left() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return static_cast<int>(frames_->free.size());
}

}  // namespace cineflow_client
