// What the scenarios of `ends` share.
#pragma once

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "cineflow_client.hpp"

namespace ends {

using namespace cineflow_client;

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline void sleep_ms(int time) { std::this_thread::sleep_for(std::chrono::milliseconds(time)); }

inline const std::vector<unsigned char> kPixels(64 * 80, 9);
inline const FrameView kFrame{kPixels.data(), DataType::kUint8, {64, 80}};

inline StreamOptions plain(Transport transport = Transport::kGrpc) {
  StreamOptions options;
  options.size = kFrame.size;
  options.transport = transport;
  return options;
}

// Each prints what came of it, and returns the exit status.

/// The whole of a slot is written to.
int fill(const std::string& url);
/// Push frames, whatever the server says to them. Every value of a result is read.
int results(const std::string& url, int count, Transport transport);
/// Frames are sent until the stream has gone on in another sequence.
int until_resumed(const std::string& url);
/// Children that are forked while other threads hold the locks.
int forks(const std::string& url, int count);
/// Streams are opened while the system gives no random numbers.
int without_random(const std::string& url);

}  // namespace ends
