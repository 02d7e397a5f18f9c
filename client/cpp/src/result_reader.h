// A response of the server as a result. The response is not trusted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "messages.h"
#include "padding.h"

namespace cineflow_client {

struct Notes {
  std::string unit, engine;
  std::map<std::string, std::string> absent;
};

/// The memory behind a result's views.
struct Result::Kept {
  std::unique_ptr<Response> response;
  std::shared_ptr<const Model> model;
  std::shared_ptr<Memory> memory;  // with `area`, which is free again when this goes
  int area = -1;
  std::vector<unsigned char> copied;
  std::shared_ptr<const Notes> notes;

  ~Kept() { free_area(); }
  void free_area() noexcept {
    if (area >= 0) memory->free_area(area);
    area = -1;
  }
};

class ResultReader {
 public:
  /// Throws kFrameRejected: the model does not take frames of the padded size.
  ResultReader(std::shared_ptr<const Model> model, Padding padding, bool shows_state);

  /// The result of one frame. `area` of `memory` holds its large outputs; -1: the message does. The
  /// result has the area from here on, also if this throws. `spare`: areas that must stay free,
  /// else the outputs are copied. `state` gets the stream's state. Throws kServerRefused.
  std::shared_ptr<Result> read(std::unique_ptr<Response> response, std::shared_ptr<Memory> memory,
                               int area, int spare, std::string* state);
  /// The result of a call. `sizes` has the axes of what was given. Throws kServerRefused.
  std::shared_ptr<Result> read_call(std::unique_ptr<Response> response, const AxisSizes& sizes);

 private:
  /// Throws kServerRefused: a reading has another type or shape than the header says.
  void require_reading(const std::string& name, const Tensor& view) const;
  void read_tensors(Result& result, Result::Kept& kept) const;
  void read_readings(Result& result, Result::Kept& kept);
  void add_outputs(Result& result) const;

  std::shared_ptr<const Model> model_;
  Padding padding_;
  bool shows_state_;
  AxisSizes sizes_;  // of the padded frames
  std::string last_notes_;
  std::shared_ptr<const Notes> notes_;
};

}  // namespace cineflow_client
