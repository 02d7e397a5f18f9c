// The part of the DLPack ABI that is read here: capsules of version 0.x, which every producer still
// exports, and the exchange API of version 1.x, a table of C functions that torch offers.
#pragma once

#include <cstdint>

namespace cineflow::dlpack {

constexpr const char* kCapsuleName = "dltensor";

enum DeviceType : std::int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4 };

struct Tensor {
  void* data;
  std::int32_t device_type;
  std::int32_t device_id;
  std::int32_t ndim;
  std::uint8_t type_code;
  std::uint8_t type_bits;
  std::uint16_t type_lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null for a contiguous tensor
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* manager;
  void (*deleter)(ManagedTensor*);
};

constexpr const char* kExchangeName = "dlpack_exchange_api";
constexpr std::uint32_t kExchangeMajor = 1;

/// The table, which lives as long as the process. Functions that are not called here are untyped.
struct ExchangeApi {
  std::uint32_t major, minor;
  ExchangeApi* previous;  // the table of an older version, or null
  void (*allocate)();
  void (*managed_from_object)();
  void (*managed_to_object)();
  /// Fills `out` with a view whose memory, shape and strides the object owns. It neither
  /// synchronises nor asks which device is current. Null where the producer lacks it.
  int (*view_of_object)(void* object, Tensor* out);
  void (*current_stream)();
};

}  // namespace cineflow::dlpack
