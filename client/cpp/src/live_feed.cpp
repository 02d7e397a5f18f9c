// The thread that feeds a stream's session.
#include "checks.h"
#include "errors.h"
#include "live.h"

namespace cineflow_client {

void Live::feed() noexcept {
  while (true) {
    Traffic::Item item = traffic_.next_work(timeout_ns());
    switch (item.work) {
      case Traffic::Work::kStop:
        return;
      case Traffic::Work::kDropped: {
        Outcome outcome;
        outcome.error = std::make_shared<const Error>(
            Code::kFrameDropped, "a free slot in time",
            "none for frame " + std::to_string(item.index) + ", which was not sent",
            "Send fewer frames, or open the stream with more slots. The next result states the "
            "gap (`gap_frames`).");
        traffic_.finish(item.number, std::move(outcome));
        break;
      }
      case Traffic::Work::kEnded:
        for (const Outcome& one : item.ended) traffic_.deliver(one);
        break;
      case Traffic::Work::kLate:
        fail(Error(Code::kStreamTimeout, "a result within " + number(timeout_s_) + " s", "none",
                   "The server hangs or is overloaded. Open a new stream."));
        break;
      case Traffic::Work::kAlive:
        keep_alive();
        break;
      case Traffic::Work::kHangUp: {
        const std::lock_guard<std::mutex> guard(session_lock_);
        if (interrupted_) session_->hang_up();
        break;
      }
      case Traffic::Work::kSend:
        send(item.frame, false);
        break;
      case Traffic::Work::kFlush:
        flush();
        break;
    }
  }
}

void Live::help(std::optional<std::uint64_t> leads) noexcept {
  while (const FrameRef frame = traffic_.next_frame(timeout_ns())) {
    send(frame, leads == frame.step().number);
  }
}

void Live::send(const FrameRef& frame, bool leads) noexcept {
  bool whole = true;
  try {
    whole = leave(frame, leads);
  } catch (const Error& error) {
    refuse(frame.step().number, error);
  } catch (const std::exception& error) {  // also after a bug nobody must wait for ever
    refuse(frame.step().number,
           Error(Code::kFrameRejected, "a frame that can be sent", error.what()));
  }
  whole ? traffic_.sent() : traffic_.flush_later();
}

void Live::keep_alive() {
  const std::lock_guard<std::mutex> guard(session_lock_);
  if (session_->started && !interrupted_) session_->link.send(session_->keep_alive_request());
}

bool Live::check(const FrameRef& frame) {
  Step& step = frame.step();
  const bool black = check_values(*model_, frame.pixels(), step.dtype, padding_.size(), dark_);
  std::vector<const TensorSpec*> now;
  for (const TensorSpec& input : model_->inputs) {
    if (has(model_->feed_inputs, input.name)) continue;
    if (wants_given_ || !has(model_->at_start, input.name)) now.push_back(&input);
  }
  AxisSizes sizes;
  if (!now.empty()) sizes = model_->axis_sizes(padding_.size());
  check_arrays(model_->info.served_name, now, step.given, step.given_count, sizes);
  for (std::size_t k = 0; k < step.given_count;) {
    if (!has(model_->at_start, step.given[k].name)) {
      ++k;
      continue;
    }
    at_start_[step.given[k].name] = step.given[k];
    std::swap(step.given[k], step.given[--step.given_count]);
  }
  return black;
}

bool Live::leave(const FrameRef& given, bool leads) {
  const std::lock_guard<std::mutex> guard(session_lock_);
  Session& session = *session_;
  const bool direct = session.goes_directly() && !interrupted_ && !session.over;
  const FrameRef frame = direct ? in_ring(session, given) : given;
  const bool black = check(frame);
  wants_given_ = false;
  dark_ = dark_ && black;
  const bool asked = keep(frame);
  if (interrupted_ || session.over) return true;  // the next session sends it, or nobody waits
  if (direct) return leave_directly(session, frame, asked, leads);
  if (!session.started) session.at_start = beginning();
  const std::uint64_t number = frame.step().number;
  const int area = take_area(session, number);
  Request request = session.request(std::to_string(number), frame.step(), frame.pixels(),
                                    padding_.size(), frame, area, outputs(asked));
  ++session.by_call;
  session.link.send(std::move(request));
  return true;
}

bool Live::keep(const FrameRef& frame) {
  if (options_.resume_s <= 0) return false;
  const bool asked = history_.add(frame);
  traffic_.keep_buffer(frame.step().number);
  if (traffic_.buffers_left() >= options_.slots) return asked;
  std::vector<FrameRef> freed;
  while (traffic_.buffers_left() + static_cast<int>(freed.size()) < options_.slots &&
         history_.move_out_oldest(freed)) {
    continue;
  }
  traffic_.free_buffers(freed);
  return asked;
}

int Live::take_area(Session& session, std::uint64_t number) {
  const int area = session.memory == nullptr ? -1 : session.memory->take_area();
  traffic_.leaves(number, session.memory, area);
  return area;
}

std::map<std::string, Given> Live::beginning() const {
  if (history_.state().empty()) return at_start_;
  Given state;
  const std::string& bytes = history_.state();
  copy_given({"state", DataType::kUint8, {static_cast<std::int64_t>(bytes.size())}, bytes.data()},
             state);
  return {{"state", state}};
}

std::vector<std::string> Live::outputs(bool asked) const {
  std::vector<std::string> names = wanted_;
  if (asked && !shows_state_) names.push_back("state");
  return names;
}

}  // namespace cineflow_client
