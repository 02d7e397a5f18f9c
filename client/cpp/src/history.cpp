#include "history.h"

namespace cineflow_client {
namespace {

/// Sessions that are lost with a frame until it is not sent again. One that is lost sooner than
/// `kApartNs` after the last one found the same server, while that was ending.
constexpr int kMostLosses = 2;
constexpr std::int64_t kApartNs = 1000000000;

}  // namespace

bool History::add(const FrameRef& frame) {
  if (spare_.empty()) spare_.emplace_back();
  sent_.splice(sent_.end(), spare_, spare_.begin());
  Sent& sent = sent_.back();
  sent.frame = frame;
  sent.number = frame.step().number;
  sent.asked = ++since_ >= kStateEvery;
  if (sent.asked) since_ = 0;
  return sent.asked;
}

void History::answered(std::uint64_t number, std::string state, std::vector<FrameRef>& freed) {
  for (auto place = sent_.begin(); place != sent_.end(); ++place) {
    if (place->number != number) continue;
    place->answered = true;
    if (place->asked && !state.empty()) keep_state(number, state, freed);
    return;
  }
}

void History::keep_state(std::uint64_t number, std::string& state, std::vector<FrameRef>& freed) {
  for (auto place = sent_.begin(); place != sent_.end(); ++place) {
    if (place->number != number) continue;
    state_.swap(state);
    while (sent_.begin() != place) erase(sent_.begin(), freed);
    erase(place, freed);
    return;
  }
}

void History::refused(std::uint64_t number, std::vector<FrameRef>& freed) {
  for (auto place = sent_.begin(); place != sent_.end(); ++place) {
    if (place->number != number) continue;
    if (place->asked) since_ = kStateEvery;
    erase(place, freed);
    return;
  }
}

std::optional<std::uint64_t> History::leave_out_what_kills(std::vector<FrameRef>& freed) {
  for (auto place = sent_.begin(); place != sent_.end(); ++place) {
    Sent& first = *place;  // the server was computing it
    if (first.answered) continue;
    const std::int64_t now = now_ns();
    if (now - first.lost_ns >= kApartNs) {
      ++first.losses;
      first.lost_ns = now;
    }
    if (first.losses < kMostLosses) return std::nullopt;
    const std::uint64_t number = first.number;
    if (first.asked) since_ = kStateEvery;
    erase(place, freed);
    return number;
  }
  return std::nullopt;
}

bool History::move_out_oldest(std::vector<FrameRef>& freed) {
  for (Sent& sent : sent_) {
    if (!sent.frame || !sent.answered) continue;  // the server may still read the others
    const unsigned char* pixels = sent.frame.pixels();
    sent.copied_pixels.assign(pixels, pixels + sent.frame.frames->memory->frame_bytes());
    sent.copied_step = sent.frame.step();
    freed.push_back(std::move(sent.frame));
    sent.frame = {};
    return true;
  }
  return false;
}

void History::erase(Place place, std::vector<FrameRef>& freed) {
  if (place->frame) freed.push_back(std::move(place->frame));
  *place = Sent();
  spare_.splice(spare_.begin(), sent_, place);
}

}  // namespace cineflow_client
