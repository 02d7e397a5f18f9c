// A tensor that something else owns: pointer, dtype, sizes, and strides in elements.
#pragma once

#include <cstdint>

namespace cineflow {

enum class DType : std::uint8_t { kF32, kF16, kBF16, kU8 };
enum class Device : std::uint8_t { kCpu, kCuda };

constexpr int kMaxRank = 6;

/// Ranks of an image [N, C, H, W] and of a volume [N, C, D, H, W].
constexpr int kImageRank = 4;
constexpr int kVolumeRank = 5;

/// Sides below this are exact in f32, the type of coordinates.
constexpr std::int64_t kSideLimit = std::int64_t{1} << 24;

/// Offsets in a plane or volume that spans fewer elements than this fit into an int32.
constexpr std::int64_t kPlaneLimit = std::int64_t{1} << 31;

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Device device = Device::kCpu;
  std::int16_t device_index = 0;  // which GPU; 0 on the CPU
  int rank = 0;
  std::int64_t sizes[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};  // in elements; any sign, 0 for a broadcast axis

  std::int64_t elements() const noexcept {
    std::int64_t count = 1;
    for (int axis = 0; axis < rank; ++axis) count *= sizes[axis];
    return count;
  }
};

/// Bytes of one element.
constexpr int item_size(DType dtype) noexcept {
  return dtype == DType::kF32 ? 4 : dtype == DType::kU8 ? 1 : 2;
}

constexpr const char* name_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kF16:
      return "float16";
    case DType::kBF16:
      return "bfloat16";
    case DType::kU8:
      return "uint8";
  }
  return "unknown";
}

constexpr const char* name_of(Device device) noexcept {
  return device == Device::kCpu ? "cpu" : "cuda";
}

}  // namespace cineflow
