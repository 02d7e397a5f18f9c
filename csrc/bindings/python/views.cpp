#include "views.h"

#include <string>

#include "dlpack_abi.h"

namespace cineflow::python {
namespace {

constexpr const char* kStorage = " of float32, float16, bfloat16 or uint8";

[[noreturn]] void raise(const char* type, const std::string& wanted, const std::string& got) {
  const py::object error = py::module_::import("cineflow.errors").attr(type)(wanted, got);
  PyErr_SetObject(py::type::handle_of(error).ptr(), error.ptr());
  throw py::error_already_set();
}

std::string type_name(py::handle object) {
  return py::type::handle_of(object).attr("__name__").cast<std::string>();
}

void require_rank(const char* name, py::ssize_t rank) {
  if (rank > kMaxRank) {
    raise_argument_error(std::string(name) + " of rank " + std::to_string(kMaxRank) + " at most",
                         "rank " + std::to_string(rank));
  }
}

DType numpy_dtype(const char* name, const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  if (order == '=' || order == '|') {
    if (dtype.kind() == 'f' && dtype.itemsize() == 4) return DType::kF32;
    if (dtype.kind() == 'f' && dtype.itemsize() == 2) return DType::kF16;
    if (dtype.kind() == 'u' && dtype.itemsize() == 1) return DType::kU8;
    // NumPy has no built-in bfloat16; ml_dtypes registers one by name.
    if (py::str(dtype.attr("name")).equal(py::str("bfloat16"))) return DType::kBF16;
  }
  raise_argument_error(name + std::string(kStorage), py::str(dtype).cast<std::string>());
}

/// Kernels read whole elements. Some machines cannot read them at unaligned addresses.
void require_aligned(const char* name, const TensorView& view) {
  const auto beyond = reinterpret_cast<std::uintptr_t>(view.data) % item_size(view.dtype);
  if (beyond == 0 || view.elements() == 0) return;
  raise_argument_error(std::string(name) + " aligned to its elements, such as a copy",
                       "an address " + std::to_string(beyond) + " bytes after an element");
}

Borrowed borrow_numpy(const char* name, const py::array& array) {
  Borrowed borrowed;
  TensorView& view = borrowed.view;
  require_rank(name, array.ndim());
  view.data = const_cast<void*>(array.data());
  view.dtype = numpy_dtype(name, array);
  view.rank = static_cast<int>(array.ndim());
  for (int axis = 0; axis < view.rank; ++axis) {
    const py::ssize_t bytes = array.strides(axis);
    view.sizes[axis] = array.shape(axis);
    view.strides[axis] = bytes / item_size(view.dtype);
    if (bytes % item_size(view.dtype) != 0) {
      raise_argument_error(std::string(name) + " with strides of whole elements",
                           std::to_string(bytes) + " bytes along axis " + std::to_string(axis));
    }
  }
  require_aligned(name, view);
  borrowed.owner = py::reinterpret_borrow<py::object>(array);
  return borrowed;
}

/// "float64", as the libraries name it.
std::string dlpack_name(const dlpack::Tensor& tensor) {
  constexpr const char* kNames[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  const int code = tensor.type_code;
  if (code < 0 || code > 6) return "a type of DLPack code " + std::to_string(code);
  std::string name = kNames[code];
  if (code != 6) name += std::to_string(tensor.type_bits);
  if (tensor.type_lanes != 1) name += " x " + std::to_string(tensor.type_lanes);
  return name;
}

DType dlpack_dtype(const char* name, const dlpack::Tensor& tensor) {
  if (tensor.type_lanes == 1) {
    if (tensor.type_code == dlpack::kFloat && tensor.type_bits == 32) return DType::kF32;
    if (tensor.type_code == dlpack::kFloat && tensor.type_bits == 16) return DType::kF16;
    if (tensor.type_code == dlpack::kBfloat && tensor.type_bits == 16) return DType::kBF16;
    if (tensor.type_code == dlpack::kUInt && tensor.type_bits == 8) return DType::kU8;
  }
  raise_argument_error(name + std::string(kStorage), dlpack_name(tensor));
}

Device dlpack_device(const char* name, const dlpack::Tensor& tensor) {
  switch (tensor.device_type) {
    case dlpack::kCpu:
    case dlpack::kCudaHost:
      return Device::kCpu;
    case dlpack::kCuda:
    case dlpack::kCudaManaged:
      return Device::kCuda;
    default:
      raise_argument_error(std::string(name) + " on the CPU or a CUDA device",
                           "DLPack device type " + std::to_string(tensor.device_type));
  }
}

/// Requests the capsule. On a CUDA device the producer must not synchronise (stream -1), since the
/// caller names the stream that the kernel is queued on.
py::object capsule_of(py::handle array) {
  const auto device = array.attr("__dlpack_device__")().cast<py::tuple>();
  if (device[0].cast<int>() == dlpack::kCpu) return array.attr("__dlpack__")();
  return array.attr("__dlpack__")(py::arg("stream") = -1);
}

TensorView view_of(const char* name, const dlpack::Tensor& tensor) {
  TensorView view;
  require_rank(name, tensor.ndim);
  view.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  view.dtype = dlpack_dtype(name, tensor);
  view.device = dlpack_device(name, tensor);
  if (view.device == Device::kCuda) {
    view.device_index = static_cast<std::int16_t>(tensor.device_id);
  }
  view.rank = tensor.ndim;
  std::int64_t contiguous = 1;
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    view.sizes[axis] = tensor.shape[axis];
    view.strides[axis] = tensor.strides != nullptr ? tensor.strides[axis] : contiguous;
    contiguous *= tensor.shape[axis];
  }
  require_aligned(name, view);
  return view;
}

/// The exchange API of an array's type; null where it has none that fits.
const dlpack::ExchangeApi* find_exchange(PyTypeObject* type) {
  const py::object found =
      py::getattr(reinterpret_cast<PyObject*>(type), "__dlpack_c_exchange_api__", py::none());
  if (!PyCapsule_IsValid(found.ptr(), dlpack::kExchangeName)) return nullptr;
  const auto* api = static_cast<const dlpack::ExchangeApi*>(
      PyCapsule_GetPointer(found.ptr(), dlpack::kExchangeName));
  while (api != nullptr && api->major > dlpack::kExchangeMajor) api = api->previous;
  const bool fits = api != nullptr && api->major == dlpack::kExchangeMajor;
  return fits && api->view_of_object != nullptr ? api : nullptr;
}

/// The same, kept for the type of the last array: reading the attribute takes longer than the view.
const dlpack::ExchangeApi* exchange_of(py::handle array) {
  static PyTypeObject* last_type = nullptr;  // guarded by the GIL, and kept alive
  static const dlpack::ExchangeApi* last = nullptr;
  PyTypeObject* type = Py_TYPE(array.ptr());
  if (type != last_type) {
    last = find_exchange(type);
    Py_INCREF(type);
    Py_XDECREF(last_type);
    last_type = type;
  }
  return last;
}

Borrowed borrow_dlpack(const char* name, py::handle array) {
  Borrowed borrowed;
  // The capsule is not consumed, so its own destructor releases the tensor.
  borrowed.owner = capsule_of(array);
  auto* managed = static_cast<dlpack::ManagedTensor*>(
      PyCapsule_GetPointer(borrowed.owner.ptr(), dlpack::kCapsuleName));
  if (managed == nullptr) throw py::error_already_set();
  borrowed.view = view_of(name, managed->tensor);
  return borrowed;
}

}  // namespace

void raise_argument_error(const std::string& wanted, const std::string& got) {
  raise("ArgumentError", wanted, got);
}

Borrowed borrow(const char* name, py::handle array) {
  if (py::isinstance<py::array>(array)) {
    return borrow_numpy(name, py::reinterpret_borrow<py::array>(array));
  }
  if (const dlpack::ExchangeApi* exchange = exchange_of(array)) {
    dlpack::Tensor tensor{};
    if (exchange->view_of_object(array.ptr(), &tensor) != 0) throw py::error_already_set();
    return {view_of(name, tensor), py::reinterpret_borrow<py::object>(array)};
  }
  if (py::hasattr(array, "__dlpack__")) return borrow_dlpack(name, array);
  raise_argument_error(std::string(name) + " as a NumPy, torch or CuPy array", type_name(array));
}

Borrowed borrow_output(const char* name, py::handle array) {
  if (py::isinstance<py::array>(array) && !py::reinterpret_borrow<py::array>(array).writeable()) {
    raise_argument_error(std::string(name) + " that may be written", "a read-only array");
  }
  return borrow(name, array);
}

void raise_unless_ok(const Status& status) {
  switch (status.code) {
    case Status::Code::kOk:
      return;
    case Status::Code::kArgument:
      raise("ArgumentError", status.wanted, status.got);
    case Status::Code::kDevice:
      raise("EngineError", status.wanted, status.got);
  }
}

}  // namespace cineflow::python
