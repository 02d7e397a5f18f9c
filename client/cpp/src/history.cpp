#include "history.h"

namespace cineflow_client {
namespace {

/// Sessions that are lost with a frame until it is not sent again. One that is lost sooner than
/// `kApartNs` after the last one found the same server, while that was ending.
constexpr int kMostLosses = 2;
constexpr std::int64_t kApartNs = 1000000000;

}  // namespace

bool History::add(const FrameRef& frame) {
  Sent sent;
  sent.frame = frame;
  sent.number = frame.step().number;
  sent.asked = ++since_ >= kStateEvery;
  if (sent.asked) since_ = 0;
  sent_.push_back(std::move(sent));
  return sent_.back().asked;
}

void History::answered(std::uint64_t number, std::string state, std::vector<FrameRef>& freed) {
  for (std::size_t k = 0; k < sent_.size(); ++k) {
    if (sent_[k].number != number) continue;
    sent_[k].answered = true;
    if (!sent_[k].asked || state.empty()) return;
    state_ = std::move(state);
    for (++k; k > 0; --k) erase(0, freed);
    return;
  }
}

void History::refused(std::uint64_t number, std::vector<FrameRef>& freed) {
  for (std::size_t k = 0; k < sent_.size(); ++k) {
    if (sent_[k].number != number) continue;
    if (sent_[k].asked) since_ = kStateEvery;
    erase(k, freed);
    return;
  }
}

std::optional<std::uint64_t> History::leave_out_what_kills(std::vector<FrameRef>& freed) {
  for (std::size_t k = 0; k < sent_.size(); ++k) {
    Sent& first = sent_[k];  // the server was computing it
    if (first.answered) continue;
    const std::int64_t now = now_ns();
    if (now - first.lost_ns >= kApartNs) {
      ++first.losses;
      first.lost_ns = now;
    }
    if (first.losses < kMostLosses) return std::nullopt;
    const std::uint64_t number = first.number;
    if (first.asked) since_ = kStateEvery;
    erase(k, freed);
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

void History::erase(std::size_t position, std::vector<FrameRef>& freed) {
  Sent& sent = sent_[position];
  if (sent.frame) freed.push_back(std::move(sent.frame));
  sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(position));
}

}  // namespace cineflow_client
