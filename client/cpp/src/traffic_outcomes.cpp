// The traffic of a stream: frames that the server has, and what became of them.
#include "traffic.h"

namespace cineflow_client {

Flight* Traffic::flight(std::uint64_t number) noexcept {
  for (Flight& one : flights_) {
    if (one.used && one.number == number) return &one;
  }
  return nullptr;
}

Flight Traffic::find(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  const Flight* found = flight(number);
  return found != nullptr && found->left ? *found : Flight();
}

void Traffic::leaves(std::uint64_t number, std::shared_ptr<Memory> memory, int area) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (Flight* found = flight(number)) {
    found->memory = std::move(memory);
    found->area = area;
    found->left = true;
  }
}

FrameRef Traffic::another_buffer(const FrameRef& frame) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  Flight* found = flight(frame.step().number);
  if (found == nullptr || frames_->free.empty()) return {};
  const FrameRef other{frames_, frames_->free.back()};
  frames_->free.pop_back();
  found->frame = other;  // the one before goes with its memory
  return other;
}

void Traffic::keep_buffer(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  if (Flight* found = flight(number)) found->frame = {};
}

bool Traffic::finish(std::uint64_t number, Outcome outcome) {
  outcome.frame = number;
  Outcome given_up;
  {
    const std::lock_guard<Lock> guard(lock_);
    Flight* found = flight(number);
    if (found != nullptr) {
      release(found->frame);
      *found = {};
      --in_use_;
      freed_.notify_one();
      if (!(queue_.empty() && line_.empty())) work_.notify_one();
    } else if (outcome.code() != Code::kFrameDropped) {
      return false;
    }
    if (telling_ == number) telling_.reset();
    if (!on_outcome_) given_up = put_outcome(outcome);
  }
  deliver(outcome);
  return true;
}

Outcome Traffic::put_outcome(Outcome outcome) noexcept {
  Outcome given_up;
  if (outcomes_.full()) {
    given_up = outcomes_.pop();
    ++unread_;
  }
  outcomes_.push(std::move(outcome));
  arrived_.notify_all();
  return given_up;
}

void Traffic::deliver(const Outcome& outcome) noexcept {
  if (!on_outcome_) return;
  const std::lock_guard<std::mutex> one_at_a_time(callback_);
  try {
    on_outcome_(outcome);
  } catch (...) {  // by the caller's code: the other frames still come
  }
}

void Traffic::free_buffers(const std::vector<FrameRef>& frames) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  for (FrameRef frame : frames) release(frame);
}

Outcome Traffic::wait(std::uint64_t number) {
  const std::lock_guard<Lock> guard(lock_);
  while (true) {
    for (std::size_t k = 0; k < outcomes_.size(); ++k) {
      if (outcomes_.at(k).frame == number) return outcomes_.remove(k);
    }
    if (!is_pending(number)) {
      throw Error(Code::kCineflowClientError, "a frame whose outcome was not taken yet",
                  "frame " + std::to_string(number),
                  "Outcomes that nobody takes are given up beyond " +
                      std::to_string(kMostOutcomes) + "; on_outcome gets all of them.");
    }
    arrived_.wait(lock_, kNever);
  }
}

bool Traffic::waits_for(std::uint64_t number) noexcept {
  const std::lock_guard<Lock> guard(lock_);
  return is_pending(number);
}

bool Traffic::is_pending(std::uint64_t number) noexcept {
  if (on_outcome_) return false;
  if (flight(number) != nullptr) return true;
  for (FixedQueue<FrameRef>* queue : {&queue_, &line_}) {
    for (std::size_t k = 0; k < queue->size(); ++k) {
      if (queue->at(k).step().number == number) return true;
    }
  }
  if (telling_ == number) return true;
  for (std::size_t k = 0; k < drops_.size(); ++k) {
    if (drops_.at(k).number == number) return true;
  }
  return false;
}

}  // namespace cineflow_client
