// One frame on its way to the server, and the buffers that frames lie in.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cineflow_client.hpp"
#include "memory.h"
#include "spec.h"

namespace cineflow_client {

/// A further input. Its buffers are kept and used again, so that a sender need not allocate.
struct Given {
  std::string name;
  DataType dtype = DataType::kFloat32;
  Sizes shape;
  std::vector<unsigned char> bytes;
};

struct Step {
  std::uint64_t number = 0;  // what the caller got for it; the request's id
  DataType dtype = DataType::kUint8;
  std::optional<std::int64_t> index;
  std::optional<bool> beat;
  std::optional<double> time_ms;
  std::vector<Given> given;
  std::size_t given_count = 0;  // of `given`; the rest is for later
  std::int64_t sent_ns = 0;     // when the caller sent it
};

/// Buffers for frames, and what goes with each.
struct Frames {
  Frames(std::shared_ptr<Memory> held, int count) : memory(std::move(held)), steps(count) {
    layouts.assign(static_cast<std::size_t>(count), DataType::kUint8);
    for (int buffer = count; buffer-- > 0;) free.push_back(buffer);
  }
  std::shared_ptr<Memory> memory;
  std::vector<Step> steps;
  std::vector<DataType> layouts;  // of what was last written there
  std::vector<int> free;          // the stream's lock guards it
};

struct FrameRef {
  std::shared_ptr<Frames> frames;
  int buffer = -1;

  explicit operator bool() const noexcept { return frames != nullptr; }
  Step& step() const noexcept { return frames->steps[static_cast<std::size_t>(buffer)]; }
  const unsigned char* pixels() const noexcept { return frames->memory->frame(buffer); }
};

}  // namespace cineflow_client
