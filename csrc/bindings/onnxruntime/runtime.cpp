#include "runtime.h"

#include <algorithm>
#include <thread>

namespace cineflow::onnxruntime {
namespace {

/// Whether the call that returned `status` succeeded. Releases the status.
bool succeeded(const OrtApi& api, OrtStatus* status) noexcept {
  if (status != nullptr) api.ReleaseStatus(status);
  return status == nullptr;
}

OrtStatus* too_many_axes(const OrtApi& api, std::size_t rank) noexcept {
  char message[96];
  std::snprintf(message, sizeof(message),
                "cineflow: wanted tensors of rank %d at most; got rank %zu", kMaxRank, rank);
  return api.CreateStatus(ORT_INVALID_ARGUMENT, message);
}

OrtStatus* dtype_of(const OrtApi& api, const OrtTensorTypeAndShapeInfo& info,
                    DType* dtype) noexcept {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  if (OrtStatus* failed = api.GetTensorElementType(&info, &type)) return failed;
  for (const DType candidate : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8}) {
    if (to_ort(candidate) == type) {
      *dtype = candidate;
      return nullptr;
    }
  }
  return api.CreateStatus(ORT_INVALID_ARGUMENT,
                          "cineflow: wanted a tensor of float32, float16, bfloat16 or uint8; got "
                          "the wrong element type");
}

/// Reads sizes and type of a tensor. The runtime's tensors are contiguous and row-major.
OrtStatus* describe(const OrtApi& api, const OrtTensorTypeAndShapeInfo& info,
                    TensorView* view) noexcept {
  std::size_t rank = 0;
  if (OrtStatus* failed = api.GetDimensionsCount(&info, &rank)) return failed;
  if (rank > kMaxRank) return too_many_axes(api, rank);
  if (OrtStatus* failed = dtype_of(api, info, &view->dtype)) return failed;
  if (OrtStatus* failed = api.GetDimensions(&info, view->sizes, rank)) return failed;
  view->rank = static_cast<int>(rank);
  std::int64_t stride = 1;
  for (int axis = view->rank - 1; axis >= 0; --axis) {
    view->strides[axis] = stride;
    stride *= view->sizes[axis];
  }
  return nullptr;
}

OrtStatus* view_tensor(const OrtApi& api, const OrtValue& tensor, Device device,
                       TensorView* view) noexcept {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (OrtStatus* failed = api.GetTensorTypeAndShape(&tensor, &info)) return failed;
  OrtStatus* undescribed = describe(api, *info, view);
  api.ReleaseTensorTypeAndShapeInfo(info);
  if (undescribed != nullptr) return undescribed;
  view->device = device;
  if (device == Device::kCuda) {
    const OrtMemoryInfo* memory = nullptr;
    int index = 0;
    if (OrtStatus* failed = api.GetTensorMemoryInfo(&tensor, &memory)) return failed;
    if (OrtStatus* failed = api.MemoryInfoGetId(memory, &index)) return failed;
    view->device_index = static_cast<std::int16_t>(index);
  }
  // An input is only read, but the interface has one function for both.
  return api.GetTensorMutableData(const_cast<OrtValue*>(&tensor), &view->data);
}

}  // namespace

OrtStatus* to_ort(const OrtApi& api, const char* op, const Status& status) noexcept {
  if (status.ok()) return nullptr;
  char message[sizeof(status.wanted) + sizeof(status.got) + 64];
  std::snprintf(message, sizeof(message), "cineflow::%s: wanted %s; got %s", op, status.wanted,
                status.got);
  return api.CreateStatus(
      status.code == Status::Code::kArgument ? ORT_INVALID_ARGUMENT : ORT_EP_FAIL, message);
}

ONNXTensorElementDataType to_ort(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DType::kF16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case DType::kBF16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case DType::kU8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

OrtStatus* view_input(const OrtApi& api, const OrtKernelContext& context, std::size_t index,
                      Device device, TensorView* view) noexcept {
  const OrtValue* tensor = nullptr;
  if (OrtStatus* failed = api.KernelContext_GetInput(&context, index, &tensor)) return failed;
  return view_tensor(api, *tensor, device, view);
}

OrtStatus* view_output(const OrtApi& api, OrtKernelContext& context, const Shape& shape,
                       Device device, TensorView* view) noexcept {
  std::int64_t sizes[kMaxRank];
  for (int axis = 0; axis < shape.rank; ++axis) sizes[axis] = shape[axis].size;
  OrtValue* tensor = nullptr;
  if (OrtStatus* failed = api.KernelContext_GetOutput(&context, 0, sizes, shape.rank, &tensor)) {
    return failed;
  }
  return view_tensor(api, *tensor, device, view);
}

Shape shape_of(const TensorView& view) noexcept {
  Shape shape;
  shape.rank = view.rank;
  for (int axis = 0; axis < view.rank; ++axis) shape.dims[axis] = view.sizes[axis];
  return shape;
}

OrtStatus* input_shape(const OrtApi& api, const OrtShapeInferContext& context, std::size_t index,
                       Shape* shape, ONNXTensorElementDataType* type) noexcept {
  OrtTensorTypeAndShapeInfo* info = nullptr;  // stays the context's
  if (OrtStatus* failed = api.ShapeInferContext_GetInputTypeShape(&context, index, &info)) {
    return failed;
  }
  if (OrtStatus* failed = api.GetTensorElementType(info, type)) return failed;
  std::size_t rank = 0;
  if (OrtStatus* failed = api.GetDimensionsCount(info, &rank)) return failed;
  if (rank > kMaxRank) return too_many_axes(api, rank);
  std::int64_t sizes[kMaxRank];
  const char* names[kMaxRank];
  if (OrtStatus* failed = api.GetDimensions(info, sizes, rank)) return failed;
  if (OrtStatus* failed = api.GetSymbolicDimensions(info, names, rank)) return failed;
  shape->rank = static_cast<int>(rank);
  for (int axis = 0; axis < shape->rank; ++axis) {
    shape->dims[axis] = *names[axis] != '\0' ? Dim(names[axis]) : Dim(sizes[axis]);
  }
  return nullptr;
}

OrtStatus* set_output_shape(const OrtApi& api, const OrtShapeInferContext& context,
                            const Shape& shape, ONNXTensorElementDataType type) noexcept {
  std::int64_t sizes[kMaxRank];
  const char* names[kMaxRank];
  for (int axis = 0; axis < shape.rank; ++axis) {
    // The interface cannot express an axis without size and name: it would take -1 as a size.
    if (shape[axis].unknown()) return nullptr;
    sizes[axis] = shape[axis].size;
    names[axis] = shape[axis].name;
  }
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (OrtStatus* failed = api.CreateTensorTypeAndShapeInfo(&info)) return failed;
  OrtStatus* failed = api.SetTensorElementType(info, type);
  if (failed == nullptr) failed = api.SetDimensions(info, sizes, shape.rank);
  if (failed == nullptr) failed = api.SetSymbolicDimensions(info, names, shape.rank);
  if (failed == nullptr) failed = api.ShapeInferContext_SetOutputTypeShape(&context, 0, info);
  api.ReleaseTensorTypeAndShapeInfo(info);
  return failed;
}

int SessionThreads::width() const noexcept {
  // The runtime does not say how many threads it has. If they are fewer, bands wait their turn.
  static const int processors = std::max(1u, std::thread::hardware_concurrency());
  return processors;
}

void SessionThreads::run(std::int64_t bands, Body body, void* context) const noexcept {
  struct Job {
    Body body;
    void* context;
  } job{body, context};
  const auto run_band = [](void* shared, std::size_t band) {
    const Job& job = *static_cast<const Job*>(shared);
    job.body(job.context, static_cast<std::int64_t>(band));
  };
  const bool done = bands > 1 && succeeded(api_, api_.KernelContext_ParallelFor(&context_, run_band,
                                                                                bands, 0, &job));
  // A band may run twice: it writes the same values to the same addresses.
  for (std::int64_t band = 0; !done && band < bands; ++band) body(context, band);
}

Workspace::Workspace(OrtAllocator& allocator, std::int64_t bytes) noexcept : allocator_(allocator) {
  try {
    memory_ = allocator.Alloc(&allocator, static_cast<std::size_t>(bytes));
  } catch (...) {
    // The runtime's allocators throw through their C interface.
  }
}

AttributeSource::Found KernelAttributes::integer(const char* name,
                                                 std::int64_t* value) const noexcept {
  return succeeded(api_, api_.KernelInfoGetAttribute_int64(&info_, name, value)) ? Found::kRead
                                                                                 : missed(name);
}

AttributeSource::Found KernelAttributes::real(const char* name, float* value) const noexcept {
  return succeeded(api_, api_.KernelInfoGetAttribute_float(&info_, name, value)) ? Found::kRead
                                                                                 : missed(name);
}

AttributeSource::Found KernelAttributes::text(const char* name, char* value,
                                              std::size_t size) const noexcept {
  return succeeded(api_, api_.KernelInfoGetAttribute_string(&info_, name, value, &size))
             ? Found::kRead
             : missed(name);
}

AttributeSource::Found KernelAttributes::missed(const char* name) const noexcept {
  // A failed read does not say why. An attribute that exists can be read as one of these types.
  std::int64_t integer = 0;
  float real = 0;
  std::size_t length = 0;
  const bool there =
      succeeded(api_, api_.KernelInfoGetAttribute_int64(&info_, name, &integer)) ||
      succeeded(api_, api_.KernelInfoGetAttribute_float(&info_, name, &real)) ||
      succeeded(api_, api_.KernelInfoGetAttribute_string(&info_, name, nullptr, &length));
  return there ? Found::kOther : Found::kAbsent;
}

AttributeSource::Found GraphAttributes::integer(const char* name,
                                                std::int64_t* value) const noexcept {
  return read(name, ORT_OP_ATTR_INT, value, sizeof(*value));
}

AttributeSource::Found GraphAttributes::real(const char* name, float* value) const noexcept {
  return read(name, ORT_OP_ATTR_FLOAT, value, sizeof(*value));
}

AttributeSource::Found GraphAttributes::text(const char* name, char* value,
                                             std::size_t size) const noexcept {
  return read(name, ORT_OP_ATTR_STRING, value, size);
}

AttributeSource::Found GraphAttributes::read(const char* name, OrtOpAttrType kind, void* value,
                                             std::size_t size) const noexcept {
  const OrtOpAttr* attribute = nullptr;
  if (!succeeded(api_, api_.ShapeInferContext_GetAttribute(&context_, name, &attribute))) {
    return Found::kAbsent;
  }
  std::size_t used = 0;
  return succeeded(api_, api_.ReadOpAttr(attribute, kind, value, size, &used)) ? Found::kRead
                                                                               : Found::kOther;
}

}  // namespace cineflow::onnxruntime
