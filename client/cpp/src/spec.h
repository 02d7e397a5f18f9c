// What a server publishes about a model, read from its configuration.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cineflow_client.hpp"
#include "sizes.h"

namespace cineflow_wire {
class ModelConfig;
}

namespace cineflow_client {

using AxisSizes = std::map<std::string, std::int64_t>;

/// One size of a shape: a number, an axis with bounds, or a part of an axis.
struct Dim {
  enum class Kind { kFixed, kAxis, kPart };
  Kind kind = Kind::kFixed;
  std::int64_t size = 0;
  std::string axis;
  std::int64_t minimum = 0, maximum = 0, multiple = 1;
  std::int64_t numerator = 1, denominator = 1;

  /// Whether `size` fits. The size of a dynamic axis is added to `sizes`, or compared with it.
  bool fits(std::int64_t size, AxisSizes& sizes) const;
  /// In words: "64..1024 by 16", "height / 4", "2".
  std::string describe() const;
  /// In numbers; none while `sizes` lacks the axis, and where it would be more than 62 bits.
  std::optional<std::int64_t> resolved(const AxisSizes& sizes) const;
};

struct TensorSpec : TensorInfo {
  std::vector<Dim> dims;
  std::optional<std::int64_t> time_axis;
  std::string points_of;

  std::optional<Sizes> resolved(const AxisSizes& sizes) const;
};

/// An output as the server sends it.
struct Port {
  std::string name;
  DataType dtype;
};

struct Model {
  ModelInfo info;
  std::string feed;  // "frame", "pair", "reference", "window", "call"
  double least_grey = 0, most_grey = 255;
  std::vector<std::string> feed_inputs, at_start;
  std::int64_t feed_time_axis = -1, feed_length = 0;
  std::vector<TensorSpec> inputs, outputs, states;
  std::vector<Port> ports;            // what a response may have
  std::vector<TensorInfo> in_pixels;  // outputs that travel as the reading of their role

  const TensorSpec* input(const std::string& name) const noexcept;
  const TensorSpec* output(const std::string& name) const noexcept;
  /// Whether an output travels as the model gives it. Flow and displacement travel as readings.
  bool travels_raw(const TensorSpec& output) const noexcept;
  /// Names of the outputs that a stream asks for. Throws kCineflowClientError.
  std::vector<std::string> wanted_outputs(const std::vector<std::string>& readings) const;
  /// Sizes of the dynamic axes for frames of `size`. Throws kFrameRejected.
  AxisSizes axis_sizes(const Sizes& size) const;
  /// Bytes of each output that travels in the ring, by name; 0 where it travels in the message.
  std::size_t ring_bytes(const Port& port, const Sizes& size) const;
  /// Bytes that the state of a stream of 8-bit frames has at most, as far as the spec says; 0: too
  /// many to keep room for. What is larger travels in the message.
  std::size_t state_bytes(const Sizes& size) const;
};

/// The model behind an alias, which is an ensemble of one step; "" for other models.
std::string alias_target(const cineflow_wire::ModelConfig& config);

/// Throws kModelNotFound: it is not a cineflow model, or of another version.
Model read_model(const std::string& name, const cineflow_wire::ModelConfig& config);

}  // namespace cineflow_client
