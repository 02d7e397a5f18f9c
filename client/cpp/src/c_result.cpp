// Results of the C face.
#include "c_face.h"

using namespace c_face;

namespace {

void show(const cfc::Tensor& view, cfc_tensor* tensor) {
  tensor->data = view.data;
  tensor->dtype = static_cast<cfc_dtype>(view.dtype);
  tensor->rank = view.rank;
  std::memcpy(tensor->shape, view.shape, sizeof(tensor->shape));
  std::memcpy(tensor->strides, view.strides, sizeof(tensor->strides));
}

}  // namespace

void cfc_result_info_of(const cfc_result* result, cfc_result_info* info) {
  if (info == nullptr) return;
  *info = {};
  if (result == nullptr) return;
  const cfc::Result& from = *result->result;
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
    info->correlation = from.quality->correlation;
    info->photometric_px = from.quality->photometric_px;
    info->deformation = from.quality->deformation;
    info->appearance = from.quality->appearance;
    info->temporal_px = from.quality->temporal_px;
    info->forward_backward_px = from.quality->forward_backward_px;
    info->folding_percent = from.quality->folding_percent;
  }
  if (from.beat) {
    info->has_beat = 1;
    info->beat_number = from.beat->number;
    info->beat_delay_frames = from.beat->delay_frames;
    info->beat_drift_px = from.beat->drift_px;
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
  if (tensor == nullptr) return;
  *tensor = {};
  if (result == nullptr || name == nullptr) return;
  for (const auto& [key, view] : result->result->tensors) {
    if (key == name) return show(view, tensor);
  }
}

size_t cfc_result_tensor_count(const cfc_result* result) {
  return result == nullptr ? 0 : result->result->tensors.size();
}

void cfc_result_tensor_at(const cfc_result* result, size_t position, const char** name,
                          cfc_tensor* tensor) {
  const bool there = position < cfc_result_tensor_count(result);
  if (name != nullptr) *name = there ? result->result->tensors[position].first.c_str() : "";
  if (tensor == nullptr) return;
  *tensor = {};
  if (there) show(result->result->tensors[position].second, tensor);
}

cfc_code cfc_result_absent(const cfc_result* result, const char* name, char* text, size_t room,
                           size_t* needed, cfc_error* error) {
  return guarded(error, [&] {
    require(result != nullptr && name != nullptr, "a result and a name");
    put_text(result->result->absent(name), text, room, needed);
  });
}

const char* cfc_result_unit(const cfc_result* result) {
  return result == nullptr ? "" : result->result->unit().c_str();
}

const char* cfc_result_engine(const cfc_result* result) {
  return result == nullptr ? "" : result->result->engine().c_str();
}

void cfc_result_free(cfc_result* result) { delete result; }
