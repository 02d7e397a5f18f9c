// Feeds the library what could come by a direct connection, in pieces of any size.
#include "fuzz_direct.h"

#include <algorithm>
#include <cstring>

#include "direct_message.h"
#include "json.h"

using namespace cineflow_client;

namespace {

std::string sized(std::size_t header, std::size_t payload) {
  std::string sizes(8, '\0');
  for (int k = 0; k < 4; ++k) {
    sizes[static_cast<std::size_t>(k)] = static_cast<char>(header >> 8 * k & 255);
    sizes[static_cast<std::size_t>(k) + 4] = static_cast<char>(payload >> 8 * k & 255);
  }
  return sizes;
}

std::string good_header() {
  return R"({"id": "7", "outputs": [["labels", "uint8", [1, 16, 20], false],
    ["flow", "float32", [2, 64, 80], true], ["quality_parts", "float64", [9], false],
    ["beat_info", "float64", [5], false], ["state", "uint8", [3], false],
    ["indices", "int64", [7], false], ["computed", "int64", [2], false],
    ["notes", "uint8", [42], false]]})";
}

std::string good_payload() {
  return std::string(320 + 72 + 40, '\0') + "abc" + std::string(56 + 16, '\0') +
         R"({"unit": "px", "absent": {}, "engine": ""})";
}

}  // namespace

std::optional<int> fuzz_direct(int rounds, const std::function<std::size_t(std::size_t)>& below,
                               const std::function<std::string(std::string)>& spoiled,
                               const std::function<bool(std::unique_ptr<Response>)>& use) {
  int results = 0;
  std::size_t states = 0;
  for (int round = 0; round < rounds; ++round) {
    Incoming incoming;
    std::string bytes;
    for (int k = 0; k < 20; ++k) {
      std::string header = good_header(), payload = good_payload();
      const std::size_t change = below(8);
      if (change == 0) header = spoiled(header);
      if (change == 1) payload = spoiled(payload);
      if (change == 2) header = R"({"bye": true})";
      if (change == 3) header = R"({"id": "7", "error": "FrameError: {}"})";
      if (change == 4) header = R"({"id": "7", "state": [549, false]})";
      if (change == 5) header = spoiled(R"({"id": "7", "state": [549, true]})");
      std::string sizes = sized(header.size(), payload.size());
      if (below(40) == 0) sizes[below(8)] = static_cast<char>(below(256));
      bytes += sizes + header + payload;
    }
    const std::size_t cut = below(3) == 0 ? below(bytes.size() + 1) : bytes.size();
    try {
      Incoming::Message message;
      for (std::size_t at = 0;;) {
        while (incoming.next(&message)) {
          try {
            Said said = said_by(message);
            if (said.response != nullptr && said.response->error_message().empty()) {
              results += use(std::move(said.response)) ? 1 : 0;
            }
            states += !said.state_of.empty() && !said.state.in_ring ? said.state.payload.size() : 0;
          } catch (const JsonError&) {  // the connection would end here
          }
        }
        const std::size_t count =
            std::min({incoming.room_bytes(), cut - at, 1 + below(below(2) == 0 ? 9 : 9000)});
        if (incoming.room_bytes() == 0) return std::nullopt;  // it would wait for ever
        if (count == 0) break;
        std::memcpy(incoming.room(), bytes.data() + at, count);
        incoming.came(count);
        at += count;
      }
    } catch (const JsonError&) {
    }
  }
  return states > 0 || rounds < 10 ? std::optional<int>(results) : std::nullopt;
}
