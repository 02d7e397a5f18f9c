// Direct connections with a model's process that breaks off, hangs or lies
// (tests/client_cpp/hostile_direct.py). Prints what came of it in one line:
//
//   direct push|full HOST:PORT FRAMES
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>

#include "cineflow_client.hpp"

using namespace cineflow_client;
using Clock = std::chrono::steady_clock;

namespace {

const std::vector<unsigned char> kPixels(64 * 80, 9);
const FrameView kFrame{kPixels.data(), DataType::kUint8, {64, 80}};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

StreamOptions options_of(int slots) {
  StreamOptions options;
  options.size = kFrame.size;
  options.transport = Transport::kSharedMemory;
  options.slots = slots;
  options.timeout_s = 5;
  options.resume_s = 2;
  return options;
}

/// Waits for the direct connection, for 3 s at most.
bool is_direct(const Stream& stream) {
  const auto start = Clock::now();
  while (!stream.direct() && seconds_since(start) < 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return stream.direct();
}

/// Frames one after the other.
void push(Client& client, int frames) {
  Stream stream = client.stream("m", options_of(4));
  stream.push(kFrame);
  const bool direct = is_direct(stream);
  int good = 0;
  std::map<std::string, int> errors;
  for (int k = 0; k < frames; ++k) {
    try {
      stream.push(kFrame);
      ++good;
    } catch (const Error& error) {
      ++errors[name(error.code())];
    }
  }
  const bool still = stream.direct();
  const auto resumed = stream.resumed();
  const auto start = Clock::now();
  stream.close();
  std::printf("direct %d %d good %d resumed %d closed %.2f", direct, still, good,
              static_cast<int>(resumed), seconds_since(start));
  for (const auto& [code, count] : errors) std::printf(" %s %d", code.c_str(), count);
  std::printf("\n");
}

/// Many frames to a process that does not read for a while.
void full(Client& client, int frames) {
  Stream stream = client.stream("m", options_of(frames));
  stream.push(kFrame);
  const bool direct = is_direct(stream);
  double longest_s = 0;
  int sent = 0;
  for (int k = 0; k < frames; ++k) {
    Slot slot = stream.acquire();
    if (!slot) break;
    std::memcpy(slot.data(), kPixels.data(), kPixels.size());
    const auto start = Clock::now();
    sent += slot.submit().code == Code::kOk;
    longest_s = std::max(longest_s, seconds_since(start));
  }
  int good = 0;
  Outcome outcome;
  std::uint64_t last = 0;
  bool ordered = true;
  while (good < sent && stream.next(&outcome, 10)) {
    good += outcome.result != nullptr;
    ordered = ordered && outcome.frame > last;
    last = outcome.frame;
  }
  std::printf("direct %d sent %d good %d unread %d ordered %d longest_ms %.1f\n", direct, sent,
              good, static_cast<int>(stream.unread()), ordered, 1e3 * longest_s);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  try {
    Client client(arguments[2]);
    const int frames = std::atoi(arguments[3]);
    std::strcmp(arguments[1], "full") == 0 ? full(client, frames) : push(client, frames);
  } catch (const Error& error) {
    std::printf("%s: %s\n", name(error.code()), error.what());
    return 3;
  }
  return 0;
}
