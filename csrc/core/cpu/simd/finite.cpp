// Whether values are finite numbers.
//
// Values of 16 bits are looked at as pairs in 32 bits: a value is NaN or infinite if all bits of
// its exponent are set, and two masks find that in either half.
#include "cpu/simd/kernels.h"
#include "cpu/simd/vec.h"

namespace cineflow::CINEFLOW_ISA {
namespace {

/// Vectors that are looked at together, so that one need not wait for the other.
constexpr int kTogether = 4;

bool floats_finite(const float* values, std::int64_t count) noexcept {
  F32s marks[kTogether] = {};
  std::int64_t at = 0;
  for (; at + kTogether * kLanes <= count; at += kTogether * kLanes) {
    for (int part = 0; part < kTogether; ++part) {
      marks[part] = mark_non_finite(marks[part], load(values + at + part * kLanes));
    }
  }
  for (; at < count; at += kLanes) {
    const int left = static_cast<int>(count - at);
    const F32s value = left >= kLanes ? load(values + at) : load_first(values + at, left);
    marks[0] = mark_non_finite(marks[0], value);
  }
  const F32s all = (marks[0] + marks[1]) + (marks[2] + marks[3]);
  return lanes_of(all == 0.0f) == kAllLanes;
}

/// `exponent` has the bits of a value's exponent.
bool halves_finite(const std::uint16_t* values, std::int64_t count,
                   std::uint16_t exponent) noexcept {
  constexpr int kPairs = 2 * kLanes;  // values in a vector
  const I32s low = I32s{} + exponent;
  const I32s high = (I32s)((U32s)low << 16);
  I32s marks[kTogether] = {};
  std::int64_t at = 0;
  for (; at + kTogether * kPairs <= count; at += kTogether * kPairs) {
    for (int part = 0; part < kTogether; ++part) {
      const I32s pairs = load_bits<I32s>(values + at + part * kPairs);
      marks[part] |= ((pairs & low) == low) | ((pairs & high) == high);
    }
  }
  bool finite = lanes_of((marks[0] | marks[1]) | (marks[2] | marks[3])) == 0;
  for (; at < count; ++at) finite &= (values[at] & exponent) != exponent;
  return finite;
}

}  // namespace

bool all_finite(const void* values, DType dtype, std::int64_t count) noexcept {
  switch (dtype) {
    case DType::kF32:
      return floats_finite(static_cast<const float*>(values), count);
    case DType::kF16:
      return halves_finite(static_cast<const std::uint16_t*>(values), count, 0x7c00);
    case DType::kBF16:
      return halves_finite(static_cast<const std::uint16_t*>(values), count, 0x7f80);
    case DType::kU8:
      return true;
  }
  return true;
}

}  // namespace cineflow::CINEFLOW_ISA
