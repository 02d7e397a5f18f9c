// How the driver and tests/client_cpp/driver.py speak with each other.
//
// A command is a line of words, then the bytes that its words announce. A word with a tensor is
// KIND:NAME:DTYPE:SIZExSIZE:BYTES. An answer is "ok WORDS...", with tensors in the same way, or
// "error NAME BYTES BYTES BYTES" and the three texts.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>

#include "cineflow_client.hpp"

namespace words {

using namespace cineflow_client;

inline std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::stringstream rest(text);
  for (std::string part; std::getline(rest, part, by);) parts.push_back(part);
  return parts;
}

inline DataType dtype_of(const std::string& text) {
  for (int k = 0; k < 7; ++k) {
    if (text == name(static_cast<DataType>(k))) return static_cast<DataType>(k);
  }
  std::cerr << "no dtype " << text << "\n";
  std::exit(2);
}

/// The words of a command, and its tensors.
struct Command {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;
  Array frame;
  std::vector<Array> given;
  std::vector<std::unique_ptr<std::vector<unsigned char>>> bytes;

  explicit Command(const std::string& line) {
    for (const std::string& word : split(line, ' ')) {
      const auto parts = split(word, ':');
      if (parts[0] == "frame" || parts[0] == "given") {
        Array array{parts[1], dtype_of(parts[2]), {}, nullptr};
        for (const std::string& size : split(parts[3], 'x'))
          array.shape.push_back(std::stoll(size));
        bytes.push_back(std::make_unique<std::vector<unsigned char>>(std::stoull(parts[4]) + 1));
        std::cin.read(reinterpret_cast<char*>(bytes.back()->data()),
                      static_cast<std::streamsize>(bytes.back()->size() - 1));
        array.data = bytes.back()->data();
        (parts[0] == "frame" ? frame : given.emplace_back()) = array;
      } else if (const auto equals = word.find('='); equals != std::string::npos) {
        options[word.substr(0, equals)] = word.substr(equals + 1);
      } else {
        words.push_back(word);
      }
    }
  }

  std::string option(const std::string& key, const std::string& otherwise = "") const {
    const auto found = options.find(key);
    return found == options.end() ? otherwise : found->second;
  }
};

class Answer {
 public:
  void word(const std::string& text) { head_ += " " + text; }
  void tensor(const std::string& name_, const Tensor& view) {
    std::string sizes;
    for (int axis = 0; axis < view.rank; ++axis) {
      sizes += (sizes.empty() ? "" : "x") + std::to_string(view.shape[axis]);
    }
    word("tensor:" + name_ + ":" + name(view.dtype) + ":" + sizes + ":" +
         std::to_string(view.byte_size()));
    const std::size_t before = bytes_.size();
    bytes_.resize(before + view.byte_size());
    view.copy_to(bytes_.data() + before);
  }
  template <typename Value, std::size_t kCount>
  void numbers(const std::string& name_, DataType dtype, const Value (&values)[kCount]) {
    Tensor view;
    view.data = values;
    view.dtype = dtype;
    view.rank = 1;
    view.shape[0] = kCount;
    view.strides[0] = sizeof(Value);
    tensor(name_, view);
  }
  void send() {
    std::cout << "ok" << head_ << "\n";
    std::cout.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
    std::cout.flush();
  }

 private:
  std::string head_;
  std::vector<char> bytes_;
};

inline void send_error(const Error& error) {
  std::cout << "error " << name(error.code()) << " " << error.wanted().size() << " "
            << error.got().size() << " " << error.remedy().size() << "\n"
            << error.wanted() << error.got() << error.remedy();
  std::cout.flush();
}

template <std::size_t kCount>
std::string listed(const double (&values)[kCount]) {
  std::string text;
  for (const double value : values) {
    char one[32];
    std::snprintf(one, sizeof(one), "%.17g", value);
    text += (text.empty() ? "" : ",") + std::string(one);
  }
  return text;
}

/// A result as the wire had it, made from what the library read.
inline void put(Answer& answer, const Result& result, bool call) {
  if (call) {
    for (const Output& output : result.outputs) answer.tensor(output.info->name, output.values);
    return;
  }
  answer.word("unit=" + result.unit());
  const Times& times = result.times;
  const double of_frame[] = {times.captured_ms.value_or(-1),
                             times.sent_s,
                             times.started_s,
                             times.computed_s,
                             times.received_s,
                             times.offset_s,
                             times.offset_error_s};
  answer.word("times=" + listed(of_frame));
  if (result.deadline) {
    const Deadline& told = *result.deadline;
    const double of_stream[] = {told.holds ? *told.holds : std::nan(""), told.expected_ms,
                                told.load, static_cast<double>(told.late_frames)};
    answer.numbers("deadline", DataType::kFloat64, of_stream);
  }
  for (const auto& [key, view] : result.tensors) {
    const bool made =
        key == "indices" || key == "quality_parts" || key == "beat_info" || key == "deadline";
    if (!made) answer.tensor(key, view);
  }
  const std::int64_t indices[] = {result.current,      result.previous, result.reference,
                                  result.described,    result.repeat,   result.gap_frames,
                                  result.re_referenced};
  answer.numbers("indices", DataType::kInt64, indices);
  if (result.quality) {
    const Quality& q = *result.quality;
    const double parts[] = {q.index,          q.expected_error_px,   q.correlation,
                            q.photometric_px, q.deformation,         q.appearance,
                            q.temporal_px,    q.forward_backward_px, q.folding_percent};
    answer.numbers("quality_parts", DataType::kFloat64, parts);
  }
  if (result.beat) {
    const BeatInfo& beat = *result.beat;
    const double parts[] = {static_cast<double>(beat.number), static_cast<double>(beat.cause),
                            static_cast<double>(beat.delay_frames),
                            static_cast<double>(beat.rhythm), beat.drift_px};
    answer.numbers("beat_info", DataType::kFloat64, parts);
  }
  for (const Output& output : result.outputs) {
    if (!output.values) throw std::runtime_error("an output without values");
  }
}

inline StreamOptions stream_options(const Command& command) {
  StreamOptions options;
  for (const std::string& size : split(command.option("size"), 'x')) {
    options.size.push_back(std::stoll(size));
  }
  options.dtype = dtype_of(command.option("dtype", "uint8"));
  const std::string transport = command.option("transport", "auto");
  options.transport = transport == "shm"    ? Transport::kSharedMemory
                      : transport == "grpc" ? Transport::kGrpc
                                            : Transport::kAuto;
  const std::string policy = command.option("policy", "every");
  options.policy = policy == "newest"     ? Policy::kNewest
                   : policy == "deadline" ? Policy::kDeadline
                                          : Policy::kEvery;
  options.deadline_ms = std::stod(command.option("deadline_ms", "0"));
  options.slots = std::stoi(command.option("slots", "4"));
  options.resume_s = std::stod(command.option("resume_s", "30"));
  options.timeout_s = std::stod(command.option("timeout_s", "0"));
  for (const std::string& one : split(command.option("spacing"), ',')) {
    options.spacing_mm.push_back(std::stod(one));
  }
  options.rate = std::stod(command.option("rate", "0"));
  options.budget_ms = std::stod(command.option("budget_ms", "0"));
  options.traceparent = command.option("traceparent");
  options.readings = split(command.option("readings"), ',');
  for (const Array& one : command.given) {
    if (one.name == "state") {
      options.state.assign(static_cast<const char*>(one.data),
                           static_cast<std::size_t>(one.shape.at(0)));
    }
  }
  return options;
}

}  // namespace words
