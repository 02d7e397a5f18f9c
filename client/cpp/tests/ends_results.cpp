// Results of servers that lie, and of those that come back.
#include <cstdio>
#include <cstring>
#include <memory>

#include "ends.h"

namespace ends {
namespace {

/// What the header promises of a reading.
bool right(const Tensor& view, DataType dtype, int rank) {
  return !view || (view.dtype == dtype && view.rank == rank);
}

}  // namespace

int fill(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  options.size = {600, 800};
  Stream stream = client.stream("m", options);
  Slot slot = stream.acquire();
  for (std::size_t y = 0; y < 600; ++y) {
    std::memset(static_cast<char*>(slot.data()) + y * slot.row_stride(), 7, 800);
  }
  std::printf("filled, %zu bytes a row\n", slot.row_stride());
  return 0;
}

int results(const std::string& url, int count, Transport transport) {
  Client client(url, {2.0, "", std::nullopt});
  StreamOptions options = plain(transport);
  options.size = {60, 80};  // is padded
  options.readings = {"state"};
  options.timeout_s = 0.5;
  options.resume_s = 1;
  int good = 0, bad = 0, ended = 0;
  unsigned sum = 0;
  auto stream = std::make_unique<Stream>(client.stream("m", options));
  const FrameView frame{kPixels.data(), DataType::kUint8, options.size};
  for (int k = 0; k < count; ++k) {
    if (stream->error() != nullptr) {
      ++ended;
      stream = std::make_unique<Stream>(client.stream("m", options));
    }
    try {
      const auto result = stream->push(frame);
      ++good;
      for (const auto& [key, view] : result->tensors) {
        std::vector<unsigned char> bytes(view.byte_size());
        view.copy_to(bytes.data());
        for (const unsigned char one : bytes) sum += one;
        sum += static_cast<unsigned>(result->absent(key).size());
      }
      const bool fields = right(result->flow, DataType::kFloat32, 3) &&
                          right(result->displacement, DataType::kFloat32, 3) &&
                          right(result->points, DataType::kFloat32, 2) &&
                          right(result->state, DataType::kUint8, 1);
      const Tensor& moved = result->displacement;
      const bool extents = !moved || (moved.shape[0] == 2 && moved.shape[1] == 60);
      if (!fields || !extents) {
        std::printf("a reading of another type or shape\n");
        return 1;
      }
    } catch (const Error& error) {
      ++bad;
      if (count == 1) std::printf("%s: %s\n", name(error.code()), error.got().c_str());
    }
  }
  std::printf("good %d bad %d ended %d sum %u\n", good, bad, ended, sum);
  return 0;
}

int until_resumed(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  const auto start = Clock::now();
  while (stream.resumed() == 0 && seconds_since(start) < 20) {
    stream.push(kFrame);
    sleep_ms(50);
  }
  std::printf(stream.resumed() > 0 ? "went on\n" : "was not resumed\n");
  return 0;
}

}  // namespace ends
