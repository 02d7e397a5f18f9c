// Turns a description of an op (op.h) into the table of functions that ONNX Runtime calls.
//
// Problem: ONNX Runtime wants an OrtCustomOp with a dozen C functions, once per op, element type
// and device.
//
// Solution: CustomOp<Op> derives all of them from the description.
//
// Usage: const Registration<Warp> warp;  // registration.h creates the CustomOps
#pragma once

#include <iterator>
#include <memory>
#include <new>
#include <type_traits>

#include "op.h"
#include "runtime.h"

namespace cineflow::onnxruntime {

/// `Op` for one element type on one device, with a result of the usual type or of bytes. Nothing
/// here throws, because C code calls it.
template <typename Op>
class CustomOp final : public OrtCustomOp {
 public:
  CustomOp(const OrtApi& api, DType features, Device device, bool to_bytes) noexcept
      : OrtCustomOp{}, api_(api), features_(features), device_(device), to_bytes_(to_bytes) {
    version = ORT_API_VERSION;
    GetName = [](const OrtCustomOp*) noexcept { return Op::kName; };
    GetExecutionProviderType = [](const OrtCustomOp* self) noexcept {
      return of(self).device_ == Device::kCuda ? "CUDAExecutionProvider" : "CPUExecutionProvider";
    };
    GetInputTypeCount = [](const OrtCustomOp*) noexcept { return kInputs; };
    GetInputType = [](const OrtCustomOp* self, std::size_t index) noexcept {
      return to_ort(Op::kInputs[index].element == Element::kF32 ? DType::kF32 : of(self).features_);
    };
    GetInputCharacteristic = [](const OrtCustomOp*, std::size_t) noexcept {
      return INPUT_OUTPUT_REQUIRED;
    };
    GetInputMemoryType = [](const OrtCustomOp*, std::size_t) noexcept { return OrtMemTypeDefault; };
    GetOutputTypeCount = [](const OrtCustomOp*) noexcept { return std::size_t{1}; };
    GetOutputType = [](const OrtCustomOp* self, std::size_t) noexcept {
      return output_type(to_ort(of(self).features_), of(self).to_bytes_);
    };
    GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t) noexcept {
      return INPUT_OUTPUT_REQUIRED;
    };
    GetStartVersion = [](const OrtCustomOp*) noexcept { return 1; };
    GetEndVersion = [](const OrtCustomOp*) noexcept { return 1; };
    InferOutputShapeFn = [](const OrtCustomOp* self, OrtShapeInferContext* context) noexcept {
      return of(self).infer(*context);
    };
    CreateKernelV2 = [](const OrtCustomOp* self, const OrtApi* api, const OrtKernelInfo* info,
                        void** kernel) noexcept { return of(self).make(*api, *info, kernel); };
    KernelComputeV2 = [](void* kernel, OrtKernelContext* context) noexcept {
      return static_cast<const Kernel*>(kernel)->compute(*context);
    };
    KernelDestroy = [](void* kernel) noexcept { delete static_cast<Kernel*>(kernel); };
  }

 private:
  using Args = typename Op::Args;
  static constexpr std::size_t kInputs = std::size(Op::kInputs);
  static constexpr bool kHasWorkspace = !std::is_null_pointer_v<decltype(Op::kWorkspace)>;

  /// One node of a session: the argument struct, filled with the node's attributes.
  struct Kernel {
    const OrtApi& api;
    Device device;
    Args attributes;
    OrtAllocator* allocator = nullptr;  // of the device; only for ops with a workspace

    ~Kernel() {
      if (allocator != nullptr) api.ReleaseAllocator(allocator);
    }

    OrtStatus* compute(OrtKernelContext& context) const noexcept {
      Args args = attributes;
      Shape in[kInputs];
      for (std::size_t index = 0; index < kInputs; ++index) {
        TensorView& view = args.*Op::kInputs[index].view;
        if (OrtStatus* failed = view_input(api, context, index, device, &view)) return failed;
        in[index] = shape_of(view);
      }
      // Inputs of a wrong rank have no output shape; the launcher reports the error.
      if (ranks_fit(in)) {
        const Shape shape = Op::shape(args, in);
        if (OrtStatus* failed = view_output(api, context, shape, device, &args.out)) return failed;
      }
      return device == Device::kCpu ? run_cpu(args, context) : run_cuda(args, context);
    }

    OrtStatus* run_cpu(Args& args, const OrtKernelContext& context) const noexcept {
      const SessionThreads threads(api, context);
      if constexpr (kHasWorkspace) {
        const Workspace workspace(*allocator, Op::kWorkspace(args, threads.width()));
        args.workspace = workspace.memory();
        return to_ort(api, Op::kName, Op::kCpu(args, threads));
      } else {
        return to_ort(api, Op::kName, Op::kCpu(args, threads));
      }
    }

    OrtStatus* run_cuda(Args& args, const OrtKernelContext& context) const noexcept {
      void* stream = nullptr;
      if (OrtStatus* failed = api.KernelContext_GetGPUComputeStream(&context, &stream)) {
        return failed;
      }
      if constexpr (kHasCudaWorkspace<Op>) {
        // Freed before the kernels have run; what takes it next is later in the same stream. A CUDA
        // graph that was captured here keeps the address. The session's arena keeps the memory as
        // long as the session lives, and each replay writes it before it reads it.
        const Workspace workspace(*allocator, Op::kCudaWorkspace(args));
        args.workspace = workspace.memory();
        return to_ort(api, Op::kName, Op::kCuda(args, stream));
      } else {
        return to_ort(api, Op::kName, Op::kCuda(args, stream));
      }
    }
  };

  static const CustomOp& of(const OrtCustomOp* self) noexcept {
    return *static_cast<const CustomOp*>(self);
  }

  /// As in NumPy and torch: uint8 images give f32, all other types give themselves, unless bytes
  /// are asked for.
  static ONNXTensorElementDataType output_type(ONNXTensorElementDataType features,
                                               bool to_bytes) noexcept {
    if (to_bytes) return to_ort(DType::kU8);
    return features == to_ort(DType::kU8) ? to_ort(DType::kF32) : features;
  }

  /// Whether all inputs have the ranks of images, or those of volumes, which are higher by one.
  static bool ranks_fit(const Shape (&in)[kInputs]) noexcept {
    const int more = Op::kTakesVolumes && in[0].rank == Op::kInputs[0].rank + 1 ? 1 : 0;
    for (std::size_t index = 0; index < kInputs; ++index) {
      if (in[index].rank != Op::kInputs[index].rank + more) return false;
    }
    return true;
  }

  OrtStatus* make(const OrtApi& api, const OrtKernelInfo& info, void** kernel) const noexcept {
    Args args{};
    const KernelAttributes source(api, info);
    const Status status = Op::read(Attributes(source), &args);
    if (!status.ok()) return to_ort(api, Op::kName, status);
    std::unique_ptr<Kernel> made(new (std::nothrow) Kernel{api, device_, args});
    if (made == nullptr) return api.CreateStatus(ORT_FAIL, "cineflow: out of memory");
    if (device_ == Device::kCpu ? kHasWorkspace : kHasCudaWorkspace<Op>) {
      OrtStatus* failed = api.KernelInfoGetAllocator(&info, OrtMemTypeDefault, &made->allocator);
      if (failed != nullptr) return failed;
    }
    *kernel = made.release();
    return nullptr;
  }

  OrtStatus* infer(const OrtShapeInferContext& context) const noexcept {
    Args args{};
    const GraphAttributes source(api_, context);
    // The runtime ignores an error here. A wrong attribute is reported when the kernel is created.
    if (!Op::read(Attributes(source), &args).ok()) return nullptr;
    Shape in[kInputs];
    ONNXTensorElementDataType features = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    for (std::size_t index = 0; index < kInputs; ++index) {
      ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
      if (OrtStatus* failed = input_shape(api_, context, index, &in[index], &type)) return failed;
      if (Op::kInputs[index].element == Element::kFeatures) features = type;
    }
    if (!ranks_fit(in)) return nullptr;
    // The runtime asks only one of the instances, so the type is the graph's, not `features_`.
    const bool to_bytes = kMayGiveBytes<Op> && args.out.dtype == DType::kU8;
    return set_output_shape(api_, context, Op::shape(args, in), output_type(features, to_bytes));
  }

  const OrtApi& api_;
  const DType features_;
  const Device device_;
  const bool to_bytes_;
};

}  // namespace cineflow::onnxruntime
