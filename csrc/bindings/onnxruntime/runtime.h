// Adapts ONNX Runtime's C interface to the core: views, shapes, threads, errors.
//
// A function that can fail returns the runtime's status, or null on success.
#pragma once

#include <onnxruntime_c_api.h>

#include "attributes.h"
#include "cineflow/executor.h"
#include "cineflow/status.h"
#include "cineflow/tensor_view.h"
#include "shape.h"

namespace cineflow::onnxruntime {

/// An error "cineflow::<op>: wanted ...; got ...", or null if `status` is ok.
OrtStatus* to_ort(const OrtApi& api, const char* op, const Status& status) noexcept;

ONNXTensorElementDataType to_ort(DType dtype) noexcept;

/// Views of a node's tensors while it runs. view_output creates the output with the given shape.
OrtStatus* view_input(const OrtApi& api, const OrtKernelContext& context, std::size_t index,
                      Device device, TensorView* view) noexcept;
OrtStatus* view_output(const OrtApi& api, OrtKernelContext& context, const Shape& shape,
                       Device device, TensorView* view) noexcept;

/// The sizes of a view as a shape.
Shape shape_of(const TensorView& view) noexcept;

/// Shapes and element types of a node in the graph, before tensors exist. An unknown shape has rank
/// 0.
OrtStatus* input_shape(const OrtApi& api, const OrtShapeInferContext& context, std::size_t index,
                       Shape* shape, ONNXTensorElementDataType* type) noexcept;
OrtStatus* set_output_shape(const OrtApi& api, const OrtShapeInferContext& context,
                            const Shape& shape, ONNXTensorElementDataType type) noexcept;

/// The session's own threads. A second pool would compete with them for the processors.
class SessionThreads final : public Executor {
 public:
  SessionThreads(const OrtApi& api, const OrtKernelContext& context) noexcept
      : api_(api), context_(context) {}

  int width() const noexcept override;
  void run(std::int64_t bands, Body body, void* context) const noexcept override;

 private:
  const OrtApi& api_;
  const OrtKernelContext& context_;
};

/// Scratch memory for one run of a node, from the session's allocator. Null if the allocation
/// fails.
class Workspace {
 public:
  Workspace(OrtAllocator& allocator, std::int64_t bytes) noexcept;
  ~Workspace() { allocator_.Free(&allocator_, memory_); }

  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void* memory() const noexcept { return memory_; }

 private:
  OrtAllocator& allocator_;
  void* memory_ = nullptr;
};

/// Attributes while a kernel is created.
class KernelAttributes final : public AttributeSource {
 public:
  KernelAttributes(const OrtApi& api, const OrtKernelInfo& info) noexcept
      : api_(api), info_(info) {}

  Found integer(const char* name, std::int64_t* value) const noexcept override;
  Found real(const char* name, float* value) const noexcept override;
  Found text(const char* name, char* value, std::size_t size) const noexcept override;

 private:
  Found missed(const char* name) const noexcept;

  const OrtApi& api_;
  const OrtKernelInfo& info_;
};

/// Attributes while shapes are inferred.
class GraphAttributes final : public AttributeSource {
 public:
  GraphAttributes(const OrtApi& api, const OrtShapeInferContext& context) noexcept
      : api_(api), context_(context) {}

  Found integer(const char* name, std::int64_t* value) const noexcept override;
  Found real(const char* name, float* value) const noexcept override;
  Found text(const char* name, char* value, std::size_t size) const noexcept override;

 private:
  Found read(const char* name, OrtOpAttrType kind, void* value, std::size_t size) const noexcept;

  const OrtApi& api_;
  const OrtShapeInferContext& context_;
};

}  // namespace cineflow::onnxruntime
