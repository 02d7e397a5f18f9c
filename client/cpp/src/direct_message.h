// The messages of a direct connection. docs/protocol.md says what they mean.
//
// A message is two little-endian uint32, the bytes of its header and of its payload; then the
// header, a JSON object; then the payload.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "messages.h"
#include "step.h"

namespace cineflow_client {

/// Bytes of the longest header, far above that of any frame.
inline constexpr std::size_t kMostHeader = std::size_t{1} << 20;

/// A frame that lies in the ring.
struct DirectFrame {
  std::uint64_t number = 0;
  FrameRef frame;
  int area = -1;            // for its results; -1: they come in the message
  bool asked = false;       // for the state
  bool state_room = false;  // the state goes to the memory's room for one, else into its message
};

/// What the next frame tells the server, whose metrics cannot know it otherwise; 0: nothing.
struct Told {
  std::int64_t round_trip_us = 0;
  std::uint64_t late_frames = 0;
};

/// Writes the messages of frames, without an allocation.
class FrameWriter {
 public:
  /// `size`: of every frame. `outputs`: of every frame. A state that is not among them comes after
  /// the result.
  FrameWriter(const Sizes& size, const std::vector<std::string>& outputs);

  /// Bytes of the longest message.
  std::size_t most_bytes() const noexcept;
  /// Write a message to `out`; returns how many bytes it has.
  std::size_t write(const DirectFrame& frame, const Told& told, char* out) const noexcept;

 private:
  std::string shape_, outputs_;
  bool state_apart_;
};

/// A message with a header only.
std::string packed(const std::string& header);

/// Makes messages of the bytes that come from a socket.
class Incoming {
 public:
  struct Message {
    std::string_view header, payload;  // until the next call
  };

  /// Where the next bytes may be written, and how many.
  char* room() noexcept { return bytes_.data() + end_; }
  std::size_t room_bytes() const noexcept { return bytes_.size() - end_; }
  /// That many have come.
  void came(std::size_t count) noexcept { end_ += count; }
  /// Take the next message; false: more bytes must come first, and there is room for some. Throws
  /// JsonError: this is not a message.
  bool next(Message* message);

 private:
  std::vector<char> bytes_;
  std::size_t begin_ = 0, end_ = 0;
};

/// The state of the stream after a frame.
struct StateSaid {
  std::size_t bytes = 0;
  bool in_ring = false;      // in the memory's room for a state
  std::string_view payload;  // the state otherwise
};

/// What the server says.
struct Said {
  /// Of which frame, as `Response` has it; "" for none.
  std::string id() const { return response ? response->infer_response().id() : state_of; }

  /// To a frame, in the form of the call's responses: an output that lies in the ring has empty
  /// contents.
  std::unique_ptr<Response> response;
  std::string state_of;  // else this frame's
  StateSaid state;
  bool bye = false;  // the model is being unloaded
};

/// Throws JsonError: it is of another form.
Said said_by(const Incoming::Message& message);

}  // namespace cineflow_client
