// How streams end, with servers that break off, hang or lie (tests/client_cpp/hostile.py). Prints
// what came of it in one line:
//
//   ends SCENARIO HOST:PORT [ARGUMENT]
#include "ends.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

using namespace ends;

namespace {

double close_time(Stream& stream) {
  const auto start = Clock::now();
  stream.close();
  return seconds_since(start);
}

/// Several threads send, one polls and one closes, while the server breaks off.
int race(const std::string& url, double for_s) {
  const auto start = Clock::now();
  Client client(url);
  int streams = 0;
  for (; seconds_since(start) < for_s; ++streams) {
    StreamOptions options = plain(streams % 3 == 2 ? Transport::kGrpc : Transport::kSharedMemory);
    options.slots = 64;
    options.resume_s = streams % 2 == 0 ? 0 : 30;
    std::atomic<int> told{0};
    if (streams % 4 < 2) options.on_outcome = [&told](const Outcome&) { ++told; };
    Stream stream = client.stream("m", options);
    std::vector<std::thread> threads;
    for (int sender = 0; sender < 3; ++sender) {
      threads.emplace_back([&stream] {
        while (true) {
          Slot slot = stream.acquire();
          if (!slot && slot.code() != Code::kStreamBusy) return;
          if (slot) slot.submit();
        }
      });
    }
    threads.emplace_back([&stream] {
      Outcome outcome;
      while (stream.error() == nullptr) {
        stream.next(&outcome, 0.01);
        stream.transport();
        stream.transport_reason();
        stream.sequence_id();
      }
    });
    for (int closer = 0; closer < 2; ++closer) {
      threads.emplace_back([&stream] {
        const auto opened = Clock::now();
        while (stream.error() == nullptr && seconds_since(opened) < 0.2) sleep_ms(1);
        stream.close();
      });
    }
    for (std::thread& one : threads) one.join();
  }
  std::printf("streams %d\n", streams);
  return 0;
}

/// Push one frame, wait, and close.
int close_one(const std::string& url, int wait_ms, Transport transport) {
  Client client(url);
  Stream stream = client.stream("m", plain(transport));
  stream.push(kFrame);
  sleep_ms(wait_ms);
  std::printf("closed %.2f\n", close_time(stream));
  return 0;
}

/// Two threads close a stream whose server says nothing; and a client closes several streams.
int close_twice(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  stream.submit(kFrame);
  double first = 0, second = 0;
  std::thread other([&] { first = close_time(stream); });
  sleep_ms(100);
  second = close_time(stream);
  other.join();
  std::vector<Stream> several;
  for (int k = 0; k < 4; ++k) {
    several.push_back(client.stream("m", plain(Transport::kAuto)));
    several.back().submit(kFrame);
  }
  const auto start = Clock::now();
  client.close();
  std::printf("closed %.2f %.2f %.2f\n", first, second, seconds_since(start));
  return 0;
}

/// `next` and `wait` while another thread closes the stream.
int next_after_the_end(const std::string& url) {
  Client client(url);
  Stream stream = client.stream("m", plain());
  stream.push(kFrame);
  std::thread other([&] {
    sleep_ms(300);
    stream.close();
  });
  Outcome outcome;
  const auto start = Clock::now();
  const bool there = stream.next(&outcome, 30);
  const double took = seconds_since(start);
  other.join();
  std::printf("next %d %.2f %s\n", there, took, name(stream.error()->code()));
  return 0;
}

/// What becomes of frames that a policy drops, of a stream that is closed at once.
int drops(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  options.policy = Policy::kNewest;
  options.timeout_s = 0.3;
  options.slots = 1;
  std::multiset<std::uint64_t> told;
  std::set<pid_t> threads;
  options.on_outcome = [&](const Outcome& outcome) {
    sleep_ms(5);
    told.insert(outcome.frame);
    threads.insert(gettid());
  };
  Stream stream = client.stream("m", options);
  std::set<std::uint64_t> sent;
  for (int k = 0; k < 40; ++k) sent.insert(stream.submit(kFrame));
  stream.close();
  const bool once = told == std::multiset<std::uint64_t>(sent.begin(), sent.end());
  options.on_outcome = nullptr;
  int waited = 0;
  for (int round = 0; round < 8; ++round) {
    Stream quiet = client.stream("m", options);
    std::uint64_t last = 0;
    for (int k = 0; k < 40; ++k) last = quiet.submit(kFrame);
    std::thread closer([&] {
      if (round % 2 == 0) quiet.close();
    });
    // Every frame but the last is dropped or answered; a spurious wake must not lose one.
    for (std::uint64_t frame = round % 2 == 0 ? 0 : 30; frame < last; ++frame) {
      waited += quiet.wait(frame).frame == frame;
    }
    closer.join();
  }
  std::printf("told %zu once %d own_thread %d waited %d\n", told.size(), once,
              static_cast<int>(threads.count(gettid())), waited);
  return 0;
}

/// `push` and `wait` in a stream with a callback.
int push_with_callback(const std::string& url) {
  Client client(url);
  StreamOptions options = plain();
  std::atomic<int> told{0};
  options.on_outcome = [&told](const Outcome&) { ++told; };
  Stream stream = client.stream("m", options);
  std::string said;
  try {
    stream.push(kFrame);
  } catch (const Error& error) {
    said = std::string(name(error.code())) + ": " + error.wanted();
  }
  sleep_ms(300);
  stream.close();
  std::printf("told %d %s\n", told.load(), said.c_str());
  return 0;
}

int run(const std::string& scenario, const std::string& url, const char* argument) {
  const bool in_ring = std::strcmp(argument, "ring") == 0;
  const Transport transport = in_ring ? Transport::kSharedMemory : Transport::kGrpc;
  if (scenario == "race") return race(url, std::atof(argument));
  if (scenario == "close") return close_one(url, 500, transport);
  if (scenario == "close_twice") return close_twice(url);
  if (scenario == "next") return next_after_the_end(url);
  if (scenario == "drops") return drops(url);
  if (scenario == "push") return push_with_callback(url);
  if (scenario == "fill") return fill(url);
  if (scenario == "result") return results(url, 1, transport);
  if (scenario == "results") return results(url, 200, transport);
  if (scenario == "forks") return forks(url, std::atoi(argument));
  if (scenario == "stops") return until_resumed(url);
  if (scenario == "random") return without_random(url);
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  try {
    return run(arguments[1], arguments[2], count > 3 ? arguments[3] : "");
  } catch (const Error& error) {
    std::printf("%s: %s\n", name(error.code()), error.what());
    return 3;
  }
}
