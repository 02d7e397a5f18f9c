// What a stream sends again when it is resumed: the last state that the server sent, and every
// frame since. Not safe from several threads: the stream's session lock guards it.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "step.h"

namespace cineflow_client {

/// Frames from one state to the next. A state is as large as a dozen frames.
inline constexpr int kStateEvery = 16;
/// Frames that a state has not replaced yet, next to those in flight: one may leave between the
/// result of a frame and its state.
inline constexpr int kMostSent = kStateEvery + 1;

/// One frame that the last known state does not contain.
struct Sent {
  FrameRef frame;  // where it lies; none if it was copied
  Step copied_step;
  std::vector<unsigned char> copied_pixels;
  std::uint64_t number = 0;
  bool asked = false;     // a state comes with its result, or after it
  bool answered = false;  // its result has come
  int losses = 0;         // sessions that were lost while the server had it to compute
  std::int64_t lost_ns = INT64_MIN / 2;

  const Step& step() const noexcept { return frame ? frame.step() : copied_step; }
  const unsigned char* pixels() const noexcept {
    return frame ? frame.pixels() : copied_pixels.data();
  }
};

class History {
 public:
  /// `slots`: frames in flight.
  History(std::string state, int slots)
      : state_(std::move(state)), spare_(static_cast<std::size_t>(kMostSent + slots)) {}

  const std::string& state() const noexcept { return state_; }
  const std::list<Sent>& to_send_again() const noexcept { return sent_; }

  /// Whether `add` does without an allocation.
  bool has_room() const noexcept { return !spare_.empty(); }
  /// Keep a frame that is about to be sent; returns whether to ask for the state with it.
  bool add(const FrameRef& frame);
  /// Note the result of a frame. `state` may be empty. Buffers that are free again go to `freed`.
  void answered(std::uint64_t number, std::string state, std::vector<FrameRef>& freed);
  /// Note the state after a frame, which came after its result. The state before goes to `state`.
  void keep_state(std::uint64_t number, std::string& state, std::vector<FrameRef>& freed);
  /// Note that a frame was refused: it changed nothing.
  void refused(std::uint64_t number, std::vector<FrameRef>& freed);
  /// Note that a session was lost with a dead server or model. Returns the number of a frame that
  /// is not sent again, because two sessions were lost with it.
  std::optional<std::uint64_t> leave_out_what_kills(std::vector<FrameRef>& freed);
  /// Copy the oldest frame that still lies in a buffer, which is free then; false: nothing was
  /// moved.
  bool move_out_oldest(std::vector<FrameRef>& freed);

 private:
  using Place = std::list<Sent>::iterator;
  void erase(Place place, std::vector<FrameRef>& freed);

  std::string state_;
  std::list<Sent> sent_;   // in the order of sending
  std::list<Sent> spare_;  // their memory, for later frames
  int since_ = 0;
};

}  // namespace cineflow_client
