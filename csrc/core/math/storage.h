// Storage types and their conversion to and from f32. All arithmetic is in f32.
#pragma once

#include <cstdint>
#include <cstring>

#include "math/host_device.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace cineflow {

struct Half {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

CINEFLOW_HD float bits_to_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

CINEFLOW_HD std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

CINEFLOW_HD float to_float(float value) { return value; }
CINEFLOW_HD float to_float(std::uint8_t value) { return static_cast<float>(value); }
CINEFLOW_HD float to_float(BFloat16 value) {
  return bits_to_float(static_cast<std::uint32_t>(value.bits) << 16);
}

CINEFLOW_HD float to_float(Half value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  // Shift exponent and mantissa to f32's positions. A multiplication corrects the exponent's bias
  // and normalises subnormals. 65536 and above are infinity or NaN.
  const std::uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  float scaled = bits_to_float(magnitude) * 0x1p112f;
  if (scaled >= 65536.0f) scaled = bits_to_float(magnitude | 0x7f800000u);
  return bits_to_float(float_to_bits(scaled) | (value.bits & 0x8000u) << 16);
#endif
}

/// Rounds to nearest, ties to even.
template <typename T>
CINEFLOW_HD T from_float(float value);

template <>
CINEFLOW_HD float from_float<float>(float value) {
  return value;
}

/// Clamped to 0..255; NaN gives 0.
template <>
CINEFLOW_HD std::uint8_t from_float<std::uint8_t>(float value) {
  float level = value > 0.0f ? value : 0.0f;
  level = level < 255.0f ? level : 255.0f;
  // Adding 2^23 makes the FPU round at the units, which are then the last bits.
  return static_cast<std::uint8_t>(float_to_bits(level + 8388608.0f));
}

template <>
CINEFLOW_HD BFloat16 from_float<BFloat16>(float value) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const std::uint32_t bits = float_to_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
}

template <>
CINEFLOW_HD Half from_float<Half>(float value) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const std::uint32_t bits = float_to_bits(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // rounds to 65536 or more: infinity
  } else if (magnitude < 0x38800000u) {
    // Subnormal half: adding 0.5 makes the FPU round at the half's last bit.
    half = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | half)};
#endif
}

}  // namespace cineflow
