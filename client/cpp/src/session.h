// One sequence at the server, and how its frames travel. A stream has one after the other.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clock.h"
#include "declared.h"
#include "direct.h"
#include "link.h"
#include "patience.h"
#include "step.h"

namespace cineflow_client {

/// Ids of requests without a frame.
inline constexpr const char *kEndId = "end", *kAliveId = "alive";
/// Start of the request ids of frames that are sent again although their result has come.
inline constexpr const char* kAgain = "again-";

class Session {
 public:
  Session(std::shared_ptr<Connection> connection, std::shared_ptr<const Model> model,
          const Declared& declared, std::uint64_t resumed, std::map<std::string, Given> at_start);

  /// Have the server map a ring of `frames` frames, or fall back to gRPC tensors. `keeps_state`:
  /// some frames will bring the state, which nobody else wants. Returns the memory for frames.
  /// Throws kSharedMemoryUnavailable (kSharedMemory only), kServerUnavailable,
  /// kCineflowClientError: it does not fit into memory.
  std::shared_ptr<Memory> settle(Transport transport, int frames, std::size_t frame_bytes,
                                 int areas, const std::vector<std::string>& wanted,
                                 const Sizes& size, bool keeps_state, const Patience& patience);

  /// Connect to the process of the model, which has said its `name`. Throws std::runtime_error:
  /// that does not work.
  std::shared_ptr<Direct> open_direct(const std::string& name, const Sizes& size,
                                      const std::vector<std::string>& outputs, int slots,
                                      const std::function<bool()>& given_up) const;
  /// Whether the next frame goes straight to the model. Not while frames are under way in the call:
  /// frames must not overtake each other.
  bool goes_directly() const noexcept {
    return direct != nullptr && !direct->ended() && by_call == 0 && memory != nullptr;
  }
  /// Send a frame straight to the model; see `Direct::send`.
  bool send_directly(const DirectFrame& frame, bool leads) noexcept;
  /// Frames go directly: Triton is asked by the call about once a second whether it still has the
  /// sequence. It would take it for idle otherwise, and it alone knows that the model was unloaded.
  void ask_now_and_then();
  /// Tell the server that the sequence ends, after the frames before.
  void end();
  /// End the call and the direct connection at once.
  void hang_up() noexcept;

  /// The message for a frame. It points at memory that the server maps, and else holds the frame.
  /// `area` is for its results; -1: they come in the message.
  Request request(const std::string& id, const Step& step, const unsigned char* pixels,
                  const Sizes& size, const FrameRef& frame, int area,
                  const std::vector<std::string>& outputs);
  /// What the next frame tells the server, whose metrics cannot know it otherwise.
  void tell(std::int64_t round_trip_us, std::uint64_t late_frames) noexcept;
  /// Tell the server that the sequence lives, without a frame.
  Request keep_alive_request() const;
  /// The end of the sequence, for the call.
  Request end_request() const;
  /// Nothing leaves from here on. Returns the ring, which the caller lets go without a lock.
  std::shared_ptr<Memory> finish() noexcept;
  /// Unmap the ring at the server. Only after `finish`, and after the call has ended.
  void release(const Patience& patience) noexcept;

  const std::uint64_t sequence_id;
  Link link;
  std::shared_ptr<Direct> direct;  // null: none
  std::atomic<int> by_call{0};     // frames that were sent by the call and have no response yet
  std::shared_ptr<Memory> memory;  // that the server maps; null: none
  Transport transport = Transport::kGrpc;
  std::string transport_reason;  // why kAuto did not take shared memory
  bool started = false;          // a request has begun the sequence
  bool over = false;             // nothing may leave any more
  std::string starter;           // the id of that request
  ServerClock clock;
  std::map<std::string, Given> at_start;

 private:
  void declare_stream(Request& request) const;

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<const Model> model_;
  const Declared declared_;
  const std::uint64_t resumed_;  // sessions of the stream before this one
  Told told_;
  std::int64_t asked_ns_ = now_ns();
  std::string region_;
};

/// A sequence that ends at once, to see that the model's process lives.
Request probe_request(const std::string& served_name);

/// The message for a call of a stateless model.
Request call_request(const Model& model, const std::vector<Given>& arrays);

}  // namespace cineflow_client
