// Runs commands of tests/client_cpp/driver.py from its standard input, and prints what came of
// them (words.h).
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "words.h"

using namespace words;

namespace {

std::atomic<bool> no_direct{false};

#ifndef __SANITIZE_THREAD__
/// The system's connections, of which this program can take away those to a model's process.
extern "C" int connect(int socket, const sockaddr* address, socklen_t length) {
  if (no_direct && address->sa_family == AF_UNIX) {
    errno = ECONNREFUSED;
    return -1;
  }
  return static_cast<int>(syscall(SYS_connect, socket, address, length));
}
#endif

class Driver {
 public:
  void run(const Command& command) {
    const std::string& verb = command.words.at(0);
    Answer answer;
    if (verb == "client") {
      streams_.clear();
      client_.reset();
      ClientOptions options;
      options.timeout_s = std::stod(command.option("timeout_s", "10"));
      options.secure = command.option("secure");
      client_ = std::make_unique<Client>(command.words.at(1), options);
    } else if (verb == "direct") {
      no_direct = command.words.at(1) == "off";
    } else if (verb == "ready") {
      answer.word(client_->is_ready() ? "yes" : "no");
    } else if (verb == "version") {
      answer.word(client_->server_version());
    } else if (verb == "model") {
      const ModelInfo info = client_->model(command.words.at(1));
      answer.word(info.served_name);
      answer.word(info.streams ? "stream" : "call");
      answer.word(std::to_string(info.frame_rank));
      answer.word(info.untrained ? "untrained" : "trained");
    } else if (verb == "times") {
      const ServerTimes times = client_->times(command.words.at(1));
      const double each[] = {static_cast<double>(times.requests), times.queue_s, times.model_s};
      answer.word(listed(each));
    } else if (verb == "models" || verb == "aliases") {
      for (const auto& [name, said] : verb == "models" ? client_->models() : client_->aliases()) {
        answer.word(name + "=" + said);
      }
    } else if (verb == "load") {
      client_->load(command.words.at(1));
    } else if (verb == "unload") {
      client_->unload(command.words.at(1));
    } else if (verb == "rollback") {
      answer.word(client_->rollback(command.words.at(1)));
    } else if (verb == "call") {
      put(answer, *client_->call(command.words.at(1), command.given), true);
    } else if (verb == "stream") {
      streams_.erase(command.words.at(1));
      streams_.emplace(command.words.at(1),
                       client_->stream(command.words.at(2), stream_options(command)));
    } else {
      with_stream(verb, streams_.at(command.words.at(1)), command, answer);
    }
    answer.send();
  }

 private:
  void with_stream(const std::string& verb, Stream& stream, const Command& command,
                   Answer& answer) {
    FrameInfo info;
    if (!command.option("index").empty()) info.index = std::stoll(command.option("index"));
    if (!command.option("beat").empty()) info.beat = command.option("beat") == "1";
    if (!command.option("time_ms").empty()) info.time_ms = std::stod(command.option("time_ms"));
    info.given = command.given.data();
    info.given_count = command.given.size();
    const FrameView frame{command.frame.data, command.frame.dtype, command.frame.shape};
    if (verb == "push") {
      put(answer, *stream.push(frame, info), false);
    } else if (verb == "submit") {
      answer.word(
          std::to_string(stream.submit(frame, info, std::stod(command.option("wait_s", "0")))));
    } else if (verb == "next") {
      Outcome outcome;
      if (!stream.next(&outcome, std::stod(command.words.at(2)))) {
        answer.word("none");
        return;
      }
      if (outcome.error) throw *outcome.error;
      answer.word(std::to_string(outcome.frame));
      put(answer, *outcome.result, false);
    } else if (verb == "about") {
      answer.word(stream.transport() == Transport::kSharedMemory ? "shm" : "grpc");
      answer.word(std::to_string(stream.resumed()));
      answer.word(std::to_string(stream.dropped()));
      answer.word(std::to_string(stream.unread()));
      answer.word(std::to_string(stream.late_frames()));
      answer.word(stream.error() ? name(stream.error()->code()) : "Ok");
      answer.word(stream.direct() ? "1" : "0");
    } else if (verb == "another") {
      const StreamOptions changed = stream_options(command);
      Stream other = stream.another(changed.size, changed.spacing_mm);
      streams_.erase(command.words.at(2));
      streams_.emplace(command.words.at(2), std::move(other));
    } else if (verb == "freeze") {
      stream.freeze();
    } else if (verb == "unfreeze") {
      stream.unfreeze();
    } else if (verb == "fork") {
      answer.word(std::to_string(in_a_child(stream)));
    } else if (verb == "close") {
      stream.close();
      streams_.erase(command.words.at(1));
    } else {
      std::cerr << "no command " << verb << "\n";
      std::exit(2);
    }
  }

  /// What a forked child gets: 0 if everything is refused, and its end touches nothing.
  int in_a_child(Stream& stream) {
    Slot inherited = stream.acquire();
    const pid_t child = fork();
    if (child == 0) {
      int wrong = inherited.submit().code == Code::kOtherProcess ? 0 : 1;
      if (stream.acquire().code() != Code::kOtherProcess) wrong |= 2;
      try {
        client_->model("lucas_kanade");
        wrong |= 4;
      } catch (const Error& error) {
        if (error.code() != Code::kOtherProcess) wrong |= 8;
      }
      inherited = Slot();
      stream.close();
      streams_.clear();
      client_.reset();
      _exit(wrong);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::unique_ptr<Client> client_;
  std::map<std::string, Stream> streams_;
};

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    const Command command(line);
    try {
      driver.run(command);
    } catch (const Error& error) {
      send_error(error);
    }
  }
  return 0;
}
