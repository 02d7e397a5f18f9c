// The traffic of a stream: the side of the thread that feeds the session, and of those that help
// it.
#include <algorithm>

#include "traffic.h"

namespace cineflow_client {

Traffic::Item Traffic::next_work(std::int64_t timeout_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  Item item;
  while (true) {
    if (!stopped_) drop_late();
    if (!drops_.empty()) {
      const Drop drop = drops_.pop();
      telling_ = drop.number;
      item.work = Work::kDropped;
      item.number = drop.number;
      item.index = drop.index;
      return item;
    }
    if (!ended_.empty()) {
      item.work = Work::kEnded;
      item.ended.swap(ended_);
      return item;
    }
    if (stopped_) return item;
    std::int64_t until = kNever;
    item.frame = to_send();
    if (item.frame) {
      item.work = Work::kSend;
      return item;
    }
    if (!interrupted_) {
      for (const Flight& one : flights_) {
        if (one.used) until = std::min(until, one.waits_ns + timeout_ns);
      }
      if (until != kNever && now_ns() >= until) {
        item.work = Work::kLate;
        return item;
      }
      if (alive_every_ns_ > 0) {
        const std::int64_t now = now_ns();
        if (now >= alive_ns_) {
          alive_ns_ = now + alive_every_ns_;
          item.work = Work::kAlive;
          return item;
        }
        until = std::min(until, alive_ns_);
      }
    }
    if (flushes_) {
      item.work = Work::kFlush;
      return item;
    }
    if (hang_up_ns_ != kNever && now_ns() >= hang_up_ns_) {
      hang_up_ns_ = kNever;
      item.work = Work::kHangUp;
      return item;
    }
    until = std::min(until, hang_up_ns_);
    if (policy_ == Policy::kDeadline && !line_.empty()) {
      until = std::min(until, line_.at(0).step().sent_ns + oldest_ns_ + 1);
    }
    left_.notify_all();
    wakes_ns_ = until;
    work_.wait(lock_, until);
  }
}

FrameRef Traffic::to_send() noexcept {
  if (interrupted_ || held_ || sending_ || (queue_.empty() && line_.empty())) return {};
  const auto free =
      std::find_if(flights_.begin(), flights_.end(), [](const Flight& one) { return !one.used; });
  if (free == flights_.end()) return {};
  if (policy_ != Policy::kEvery) ++in_use_;
  FrameRef frame = queue_.empty() ? line_.pop() : queue_.pop();
  const Step& step = frame.step();
  free->used = true;
  free->number = step.number;
  free->frame = frame;
  free->area = -1;
  free->time_ms = step.time_ms;
  free->sent_ns = free->waits_ns = step.sent_ns;
  sending_ = true;
  return frame;
}

FrameRef Traffic::next_frame(std::int64_t timeout_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (stopped_) return {};
  drop_late();
  const FrameRef frame = to_send();
  // The feeding thread sees to it that the result comes in time.
  if (frame && frame.step().sent_ns + timeout_ns < wakes_ns_) work_.notify_one();
  return frame;
}

void Traffic::sent() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  sending_ = flushes_ = false;
  left_.notify_all();
  if (!(queue_.empty() && line_.empty())) work_.notify_one();
}

void Traffic::flush_later() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  flushes_ = true;
  work_.notify_one();
}

void Traffic::stop() noexcept {
  const std::lock_guard<Lock> guard(lock_);
  stopped_ = true;
  work_.notify_all();
  left_.notify_all();
}

void Traffic::drain(std::int64_t until_ns) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  while ((!queue_.empty() || sending_) && !interrupted_ && !stopped_ && broken_ == nullptr) {
    if (!left_.wait(lock_, until_ns)) return;
  }
}

}  // namespace cineflow_client
