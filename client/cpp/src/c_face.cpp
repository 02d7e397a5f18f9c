// Streams of the C face.
#include "c_face.h"

#include <functional>
#include <new>

using namespace c_face;

namespace {

/// What became of a frame, as C sees it.
cfc_code hand_over(const cfc::Outcome& outcome, cfc_result** result, cfc_error* error) noexcept {
  if (outcome.error != nullptr) return report(*outcome.error, error);
  *result = new (std::nothrow) cfc_result{outcome.result};
  if (*result != nullptr) return succeed(error);
  return fill(error, CFC_CINEFLOW_CLIENT_ERROR, "memory for a result", "none", "");
}

/// The info, with its arrays in `arrays`. Without arrays nothing is allocated.
cfc::FrameInfo info_of(const cfc_frame_info* info, std::vector<cfc::Array>& arrays) {
  cfc::FrameInfo found;
  if (info == nullptr) return found;
  if (info->has_index != 0) found.index = info->index;
  require(info->beat >= 0 && info->beat <= 2, "a beat of 0, 1 or 2");
  if (info->beat != 0) found.beat = info->beat == 2;
  if (info->has_time != 0) found.time_ms = info->time_ms;
  if (info->given_count > 0) arrays = arrays_of(info->given, info->given_count);
  found.given = arrays.data();
  found.given_count = arrays.size();
  return found;
}

/// What calls the caller's function, which is C: it does not throw.
std::function<void(const cfc::Outcome&)> caller(cfc_on_outcome function, void* user) {
  return [function, user](const cfc::Outcome& outcome) {
    cfc_error error = {};
    cfc_result* result = nullptr;
    const cfc_code code = hand_over(outcome, &result, &error);
    function(user, outcome.frame, code, result, &error);
  };
}

std::vector<std::string> split(const char* text) {
  std::vector<std::string> found;
  for (std::string rest = text_or_empty(text); !rest.empty();) {
    const auto comma = rest.find(',');
    found.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return found;
}

cfc_stream* handle_of(cfc::Stream stream, const std::vector<std::int64_t>& size,
                      std::size_t most_held) {
  auto handle = std::unique_ptr<cfc_stream>(new cfc_stream{std::move(stream), size, {}, {}});
  while (handle->held.size() < most_held) {
    handle->held.push_back(std::make_unique<cfc_stream::Held>());
    handle->held.back()->owner = handle.get();
  }
  return handle.release();
}

}  // namespace

// --- Streams -------------------------------------------------------------------------------------

void cfc_stream_options_init(cfc_stream_options* options) {
  if (options == nullptr) return;
  *options = {};
  options->rank = 2;
  options->slots = 4;
  options->line = 8;
  options->resume_s = 30;
}

cfc_code cfc_stream_open(cfc_client* client, const char* model, const cfc_stream_options* options,
                         cfc_stream** stream, cfc_error* error) {
  return guarded(error, [&] {
    require(stream != nullptr, "a place for the stream");
    *stream = nullptr;
    require(client != nullptr && model != nullptr && options != nullptr,
            "a client, a model and options");
    require((options->rank == 2 || options->rank == 3) && options->spacing_count >= 0 &&
                options->spacing_count <= 3,
            "a rank of 2 or 3 and at most 3 spacings");
    cfc::StreamOptions chosen;
    chosen.size.assign(options->size, options->size + options->rank);
    chosen.dtype = dtype_of(options->dtype);
    chosen.transport =
        checked(options->transport, cfc::Transport::kGrpc, "a value of cfc_transport");
    chosen.slots = options->slots;
    chosen.timeout_s = options->timeout_s;
    chosen.resume_s = options->resume_s;
    chosen.policy = checked(options->policy, cfc::Policy::kDeadline, "a value of cfc_policy");
    chosen.deadline_ms = options->deadline_ms;
    chosen.line = options->line;
    if (options->state != nullptr) {
      chosen.state.assign(static_cast<const char*>(options->state), options->state_bytes);
    }
    chosen.spacing_mm.assign(options->spacing_mm, options->spacing_mm + options->spacing_count);
    chosen.readings = split(options->readings);
    chosen.rate = options->rate;
    chosen.budget_ms = options->budget_ms;
    chosen.traceparent = text_or_empty(options->traceparent);
    if (options->on_outcome != nullptr) {
      chosen.on_outcome = caller(options->on_outcome, options->user);
    }
    *stream = handle_of(client->client.stream(model, chosen), chosen.size,
                        static_cast<std::size_t>(chosen.slots) + 1);
  });
}

cfc_code cfc_stream_another(cfc_stream* stream, const int64_t* size, const double* spacing_mm,
                            cfc_stream** another, cfc_error* error) {
  return guarded(error, [&] {
    require(another != nullptr, "a place for the stream");
    *another = nullptr;
    require(stream != nullptr && size != nullptr, "a stream and a size");
    const std::size_t rank = stream->size.size();
    const std::vector<std::int64_t> changed(size, size + rank);
    std::vector<double> spacing;
    if (spacing_mm != nullptr) spacing.assign(spacing_mm, spacing_mm + rank);
    *another = handle_of(stream->stream.another(changed, spacing), changed, stream->held.size());
  });
}

void cfc_stream_close(cfc_stream* stream) { delete stream; }

namespace {

cfc_code hold(cfc_stream* stream, cfc::Slot found, cfc_slot* slot) noexcept {
  if (!found) return static_cast<cfc_code>(found.code());
  cfc_stream::Held* held = nullptr;
  stream->lock.lock();
  for (const auto& one : stream->held) {
    if (!one->used) {
      held = one.get();
      held->used = true;
      break;
    }
  }
  stream->lock.unlock();
  if (held == nullptr) return CFC_STREAM_BUSY;  // more than `slots` + 1 at once
  held->slot = std::move(found);
  *slot = {held->slot.data(), held->slot.row_stride(), held->slot.slice_stride(), held};
  return CFC_OK;
}

}  // namespace

cfc_code cfc_acquire(cfc_stream* stream, double wait_s, cfc_slot* slot) {
  if (slot != nullptr) *slot = {};
  if (stream == nullptr || slot == nullptr) return CFC_CINEFLOW_CLIENT_ERROR;
  return hold(stream, stream->stream.acquire(wait_s), slot);
}

cfc_code cfc_acquire_as(cfc_stream* stream, double wait_s, cfc_dtype dtype, cfc_slot* slot) {
  if (slot != nullptr) *slot = {};
  if (stream == nullptr || slot == nullptr) return CFC_CINEFLOW_CLIENT_ERROR;
  // The stream refuses what is neither uint8 nor float32.
  return hold(stream, stream->stream.acquire(wait_s, static_cast<cfc::DataType>(dtype)), slot);
}

cfc_code cfc_submit(cfc_slot* slot, const cfc_frame_info* info, uint64_t* frame) {
  if (frame != nullptr) *frame = UINT64_MAX;
  if (slot == nullptr || slot->inside == nullptr) return CFC_CINEFLOW_CLIENT_ERROR;
  auto* held = static_cast<cfc_stream::Held*>(slot->inside);
  *slot = {};
  cfc::Slot taken = std::move(held->slot);
  held->owner->lock.lock();
  held->used = false;
  held->owner->lock.unlock();
  cfc::Submitted submitted;
  const cfc_code failed = guarded(nullptr, [&] {
    std::vector<cfc::Array> arrays;
    submitted = taken.submit(info_of(info, arrays));
  });
  if (failed != CFC_OK) return failed;
  if (frame != nullptr && submitted.code == cfc::Code::kOk) *frame = submitted.frame;
  return static_cast<cfc_code>(submitted.code);
}

void cfc_give_back(cfc_slot* slot) {
  if (slot == nullptr || slot->inside == nullptr) return;
  auto* held = static_cast<cfc_stream::Held*>(slot->inside);
  *slot = {};
  held->slot = cfc::Slot();
  held->owner->lock.lock();
  held->used = false;
  held->owner->lock.unlock();
}

cfc_code cfc_next(cfc_stream* stream, double wait_s, uint64_t* frame, cfc_result** result,
                  cfc_error* error) {
  if (result != nullptr) *result = nullptr;
  if (frame != nullptr) *frame = UINT64_MAX;
  if (stream == nullptr || result == nullptr) {
    return fill(error, CFC_CINEFLOW_CLIENT_ERROR, "a stream and a place for the result", "NULL",
                "");
  }
  cfc::Outcome outcome;
  const bool there =
      wait_s > 0 ? stream->stream.next(&outcome, wait_s) : stream->stream.poll(&outcome);
  if (!there) {
    if (const auto why = stream->stream.error()) return report(*why, error);
    return fill(error, CFC_STREAM_BUSY, "an outcome in time", "none yet",
                "Wait longer, or send a frame first.");
  }
  if (frame != nullptr) *frame = outcome.frame;
  return hand_over(outcome, result, error);
}

cfc_code cfc_wait(cfc_stream* stream, uint64_t frame, cfc_result** result, cfc_error* error) {
  cfc::Outcome outcome;
  const cfc_code failed = guarded(error, [&] {
    require(result != nullptr, "a place for the result");
    *result = nullptr;
    require(stream != nullptr, "a stream");
    outcome = stream->stream.wait(frame);
  });
  return failed != CFC_OK ? failed : hand_over(outcome, result, error);
}

cfc_code cfc_push(cfc_stream* stream, const void* pixels, cfc_dtype dtype,
                  const cfc_frame_info* info, cfc_result** result, cfc_error* error) {
  return guarded(error, [&] {
    require(result != nullptr, "a place for the result");
    *result = nullptr;
    require(stream != nullptr && pixels != nullptr, "a stream and a frame");
    std::vector<cfc::Array> arrays;
    const cfc::FrameInfo with = info_of(info, arrays);
    const cfc::FrameView frame{pixels, dtype_of(dtype), stream->size};
    *result = new cfc_result{stream->stream.push(frame, with)};
  });
}

// --- About streams -------------------------------------------------------------------------------

void cfc_stream_freeze(cfc_stream* stream) {
  if (stream != nullptr) stream->stream.freeze();
}

void cfc_stream_unfreeze(cfc_stream* stream) {
  if (stream != nullptr) stream->stream.unfreeze();
}

int32_t cfc_stream_untrained(cfc_stream* stream) {
  return stream != nullptr && stream->stream.model().untrained ? 1 : 0;
}

const char* cfc_stream_served_name(cfc_stream* stream) {
  return stream == nullptr ? "" : stream->stream.model().served_name.c_str();
}

uint64_t cfc_stream_sequence_id(cfc_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.sequence_id();
}

uint64_t cfc_stream_late_frames(cfc_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.late_frames();
}

uint64_t cfc_stream_resumed(cfc_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.resumed();
}

uint64_t cfc_stream_dropped(cfc_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.dropped();
}

uint64_t cfc_stream_unread(cfc_stream* stream) {
  return stream == nullptr ? 0 : stream->stream.unread();
}

cfc_transport cfc_stream_transport(cfc_stream* stream) {
  return stream == nullptr ? CFC_AUTO : static_cast<cfc_transport>(stream->stream.transport());
}

int32_t cfc_stream_direct(cfc_stream* stream) {
  return stream != nullptr && stream->stream.direct() ? 1 : 0;
}

cfc_code cfc_stream_transport_reason(cfc_stream* stream, char* text, size_t room, size_t* needed,
                                     cfc_error* error) {
  return guarded(error, [&] {
    require(stream != nullptr, "a stream");
    put_text(stream->stream.transport_reason(), text, room, needed);
  });
}

cfc_code cfc_stream_error(cfc_stream* stream, cfc_error* error) {
  if (stream == nullptr) {
    return fill(error, CFC_CINEFLOW_CLIENT_ERROR, "a stream", "NULL", "");
  }
  const auto why = stream->stream.error();
  return why == nullptr ? succeed(error) : report(*why, error);
}
