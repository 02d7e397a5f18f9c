// Streams and results of the C face.
#include "c_face.h"

#include <new>

using namespace c_face;

namespace {

/// The info, with its arrays in `arrays`. Without arrays nothing is allocated.
cfc::FrameInfo info_of(const cfc_frame_info* info, std::vector<cfc::Array>& arrays) {
  cfc::FrameInfo found;
  if (info == nullptr) return found;
  if (info->has_index != 0) found.index = info->index;
  if (info->beat != 0) found.beat = info->beat == 2;
  if (info->has_time != 0) found.time_ms = info->time_ms;
  if (info->given_count > 0) arrays = arrays_of(info->given, info->given_count);
  found.given = arrays.data();
  found.given_count = arrays.size();
  return found;
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
  *options = {};
  options->rank = 2;
  options->slots = 4;
  options->resume_s = 30;
}

cfc_code cfc_stream_open(cfc_client* client, const char* model, const cfc_stream_options* options,
                         cfc_stream** stream, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr && options != nullptr && stream != nullptr,
            "a client, a model and options");
    require((options->rank == 2 || options->rank == 3) && options->spacing_count >= 0 &&
                options->spacing_count <= 3,
            "a rank of 2 or 3 and at most 3 spacings");
    cfc::StreamOptions chosen;
    chosen.size.assign(options->size, options->size + options->rank);
    chosen.dtype = static_cast<cfc::DataType>(options->dtype);
    chosen.transport = static_cast<cfc::Transport>(options->transport);
    chosen.slots = options->slots;
    chosen.timeout_s = options->timeout_s;
    chosen.resume_s = options->resume_s;
    chosen.policy = static_cast<cfc::Policy>(options->policy);
    chosen.deadline_ms = options->deadline_ms;
    if (options->state != nullptr) {
      chosen.state.assign(static_cast<const char*>(options->state), options->state_bytes);
    }
    chosen.spacing_mm.assign(options->spacing_mm, options->spacing_mm + options->spacing_count);
    chosen.readings = split(options->readings);
    chosen.rate = options->rate;
    chosen.budget_ms = options->budget_ms;
    chosen.traceparent = text_or_empty(options->traceparent);
    *stream = handle_of(client->client.stream(model, chosen), chosen.size,
                        static_cast<std::size_t>(chosen.slots) + 1);
  });
}

cfc_code cfc_stream_another(cfc_stream* stream, const int64_t* size, const double* spacing_mm,
                            cfc_stream** another, cfc_error* error) {
  return guarded(error, [&] {
    require(stream != nullptr && size != nullptr && another != nullptr, "a stream and a size");
    const std::size_t rank = stream->size.size();
    const std::vector<std::int64_t> changed(size, size + rank);
    std::vector<double> spacing;
    if (spacing_mm != nullptr) spacing.assign(spacing_mm, spacing_mm + rank);
    *another = handle_of(stream->stream.another(changed, spacing), changed, stream->held.size());
  });
}

void cfc_stream_close(cfc_stream* stream) { delete stream; }

cfc_code cfc_acquire(cfc_stream* stream, double wait_s, cfc_slot* slot) {
  if (slot != nullptr) *slot = {};
  if (stream == nullptr || slot == nullptr) return CFC_CINEFLOW_CLIENT_ERROR;
  cfc::Slot found = stream->stream.acquire(wait_s);
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

cfc_code cfc_submit(cfc_slot* slot, const cfc_frame_info* info, uint64_t* frame) {
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
  if (frame != nullptr) *frame = submitted.frame;
  return failed != CFC_OK ? failed : static_cast<cfc_code>(submitted.code);
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
  if (stream == nullptr || result == nullptr) return CFC_CINEFLOW_CLIENT_ERROR;
  cfc::Outcome outcome;
  const bool there =
      wait_s > 0 ? stream->stream.next(&outcome, wait_s) : stream->stream.poll(&outcome);
  if (!there) return CFC_STREAM_BUSY;
  if (frame != nullptr) *frame = outcome.frame;
  if (outcome.error != nullptr) return report(*outcome.error, error);
  *result = new (std::nothrow) cfc_result{std::move(outcome.result)};
  return *result != nullptr ? CFC_OK : CFC_CINEFLOW_CLIENT_ERROR;
}

cfc_code cfc_push(cfc_stream* stream, const void* pixels, cfc_dtype dtype,
                  const cfc_frame_info* info, cfc_result** result, cfc_error* error) {
  return guarded(error, [&] {
    require(stream != nullptr && pixels != nullptr && result != nullptr, "a stream and a frame");
    std::vector<cfc::Array> arrays;
    const cfc::FrameInfo with = info_of(info, arrays);
    const cfc::FrameView frame{pixels, static_cast<cfc::DataType>(dtype), stream->size};
    *result = new cfc_result{stream->stream.push(frame, with)};
  });
}

void cfc_stream_freeze(cfc_stream* stream) { stream->stream.freeze(); }
void cfc_stream_unfreeze(cfc_stream* stream) { stream->stream.unfreeze(); }
uint64_t cfc_stream_late_frames(cfc_stream* stream) { return stream->stream.late_frames(); }
uint64_t cfc_stream_resumed(cfc_stream* stream) { return stream->stream.resumed(); }
uint64_t cfc_stream_dropped(cfc_stream* stream) { return stream->stream.dropped(); }

cfc_transport cfc_stream_transport(cfc_stream* stream) {
  return static_cast<cfc_transport>(stream->stream.transport());
}

cfc_code cfc_stream_error(cfc_stream* stream, cfc_error* error) {
  const auto why = stream->stream.error();
  return why == nullptr ? CFC_OK : report(*why, error);
}

// --- Results -------------------------------------------------------------------------------------

void cfc_result_info_of(const cfc_result* result, cfc_result_info* info) {
  const cfc::Result& from = *result->result;
  *info = {};
  info->current = from.current;
  info->previous = from.previous;
  info->reference = from.reference;
  info->described = from.described;
  info->repeat = from.repeat ? 1 : 0;
  info->gap_frames = from.gap_frames;
  info->re_referenced = from.re_referenced ? 1 : 0;
  if (from.quality) {
    info->has_quality = 1;
    info->quality = from.quality->index;
    info->expected_error_px = from.quality->expected_error_px;
  }
  if (from.beat) {
    info->has_beat = 1;
    info->beat_number = from.beat->number;
    info->beat_cause = static_cast<int32_t>(from.beat->cause);
    info->beat_rhythm = static_cast<int32_t>(from.beat->rhythm);
  }
  info->latency_ms = from.latency_ms;
  info->has_captured = from.times.captured_ms ? 1 : 0;
  info->captured_ms = from.times.captured_ms.value_or(0);
  info->sent_s = from.times.sent_s;
  info->received_s = from.times.received_s;
  info->started_s = from.times.started_s;
  info->computed_s = from.times.computed_s;
  info->offset_s = from.times.offset_s;
  info->offset_error_s = from.times.offset_error_s;
  if (from.deadline) {
    info->has_deadline = 1;
    info->holds = from.deadline->holds ? static_cast<int32_t>(*from.deadline->holds) : -1;
    info->expected_ms = from.deadline->expected_ms;
    info->load = from.deadline->load;
    info->late_frames = from.deadline->late_frames;
  }
}

void cfc_result_tensor(const cfc_result* result, const char* name, cfc_tensor* tensor) {
  *tensor = {};
  for (const auto& [key, view] : result->result->tensors) {
    if (key != name) continue;
    tensor->data = view.data;
    tensor->dtype = static_cast<cfc_dtype>(view.dtype);
    tensor->rank = view.rank;
    std::memcpy(tensor->shape, view.shape, sizeof(tensor->shape));
    std::memcpy(tensor->strides, view.strides, sizeof(tensor->strides));
    return;
  }
}

const char* cfc_result_unit(const cfc_result* result) { return result->result->unit().c_str(); }
void cfc_result_free(cfc_result* result) { delete result; }
