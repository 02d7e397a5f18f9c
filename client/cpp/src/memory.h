// Memory of a stream: buffers for frames, and areas that results are written to.
//
// In shared memory it is the ring that the server maps; else it has frames only. The segment's name
// exists only until the server has mapped it, so no crash later can leave it in /dev/shm.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lock.h"

namespace cineflow_client {

/// The part of an area that holds one output.
struct Part {
  std::string name;
  std::size_t bytes = 0;
  std::size_t offset = 0;  // from the area's start
};

class Memory {
 public:
  /// Shared memory for `frames` frames and `areas` results. `register_region` makes the server map
  /// it, and throws if it cannot. Throws kSharedMemoryUnavailable, and kCineflowClientError: more
  /// bytes than can be.
  ///
  /// With `state_bytes` there is room for the state of the stream, behind the areas.
  static std::shared_ptr<Memory> shared(
      int frames, std::size_t frame_bytes, int areas, std::vector<Part> parts,
      const std::function<void(const std::string&, std::size_t)>& register_region,
      std::size_t state_bytes = 0);
  /// Memory of this process. Throws kCineflowClientError: not enough.
  static std::shared_ptr<Memory> own(int frames, std::size_t frame_bytes);
  ~Memory();
  Memory(const Memory&) = delete;

  /// The region's name at the server; "" if it does not map it.
  const std::string& region() const noexcept { return region_; }
  std::size_t frame_bytes() const noexcept { return frame_bytes_; }
  std::size_t frame_offset(int buffer) const noexcept {
    return static_cast<std::size_t>(buffer) * frame_stride_;
  }
  unsigned char* frame(int buffer) const noexcept { return start_ + frame_offset(buffer); }

  /// Null: that output travels in the message.
  const Part* part(const std::string& name) const noexcept;
  /// The room for a state, as a part of the area `state_area()`; of 0 bytes without one.
  const Part& state_part() const noexcept { return state_; }
  int state_area() const noexcept { return areas_ - 1; }
  std::size_t part_offset(int area, const Part& part) const noexcept {
    return areas_offset_ + static_cast<std::size_t>(area) * area_stride_ + part.offset;
  }
  const unsigned char* at(std::size_t offset) const noexcept { return start_ + offset; }
  bool holds(const void* data) const noexcept {
    return !std::less<const void*>()(data, start_) &&
           std::less<const void*>()(data, start_ + bytes_);
  }
  const std::vector<Part>& parts() const noexcept { return parts_; }
  std::size_t area_stride() const noexcept { return area_stride_; }

  /// Of the shared memory, until `keep_to_itself`; else -1.
  int descriptor() const noexcept { return descriptor_; }
  /// No other process will get the descriptor.
  void keep_to_itself() noexcept;

  /// An area that no frame and no result uses; -1: all are used.
  int take_area() noexcept;
  /// Does nothing in a forked child.
  void free_area(int area) noexcept;
  int areas_left() noexcept;

 private:
  Memory(int frames, std::size_t frame_bytes, int areas, std::vector<Part> parts,
         std::size_t state_bytes);

  const pid_t process_;
  std::string region_;
  std::size_t frame_bytes_, frame_stride_ = 0, areas_offset_ = 0, area_stride_ = 0, bytes_ = 0;
  std::vector<Part> parts_;
  Part state_{"state"};
  const int areas_;
  unsigned char* start_ = nullptr;
  int descriptor_ = -1;
  Lock lock_;  // of the free areas
  std::vector<int> free_areas_;
};

/// Those of `names` that are rings of a program that no longer runs.
std::vector<std::string> orphaned(const std::vector<std::string>& names);

}  // namespace cineflow_client
