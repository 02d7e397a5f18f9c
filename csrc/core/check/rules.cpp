#include "check/rules.h"

#include <cstdlib>
#include <cstring>

namespace cineflow {
namespace {

constexpr auto kArgument = Status::Code::kArgument;

struct Extent {
  std::intptr_t begin;
  std::intptr_t end;  // one past the last byte
};

Extent extent_of(const TensorView& view) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (int axis = 0; axis < view.rank; ++axis) {
    const std::int64_t reach = (view.sizes[axis] - 1) * view.strides[axis];
    (reach < 0 ? low : high) += reach;
  }
  const auto base = reinterpret_cast<std::intptr_t>(view.data);
  const int bytes = item_size(view.dtype);
  return {base + low * bytes, base + (high + 1) * bytes};
}

/// "cpu", or "cuda:1".
struct DeviceName {
  char text[16] = "cpu";

  explicit DeviceName(const TensorView& view) {
    if (view.device != Device::kCuda) return;
    std::snprintf(text, sizeof(text), "cuda:%d", static_cast<int>(view.device_index));
  }
};

}  // namespace

Rules& Rules::rank(const char* name, const TensorView& view, int wanted) noexcept {
  if (!status_.ok() || view.rank == wanted) return *this;
  status_ = failure(kArgument, "", "%s of rank %d", name, view.rank);
  std::snprintf(status_.wanted, sizeof(status_.wanted), "%s of rank %d", name, wanted);
  return *this;
}

Rules& Rules::image_or_volume(const char* name, const TensorView& view) noexcept {
  if (!status_.ok() || view.rank == kImageRank || view.rank == kVolumeRank) return *this;
  status_ = failure(kArgument, "", "%s of rank %d", name, view.rank);
  std::snprintf(status_.wanted, sizeof(status_.wanted), "%s of rank %d or %d", name, kImageRank,
                kVolumeRank);
  return *this;
}

Rules& Rules::dtype(const char* name, const TensorView& view,
                    std::initializer_list<DType> wanted) noexcept {
  if (!status_.ok()) return *this;
  for (const DType candidate : wanted) {
    if (candidate == view.dtype) return *this;
  }
  status_ = failure(kArgument, "", "%s", name_of(view.dtype));
  std::size_t used = std::snprintf(status_.wanted, sizeof(status_.wanted), "%s of dtype", name);
  const char* separator = " ";
  for (const DType candidate : wanted) {
    used += std::snprintf(status_.wanted + used, sizeof(status_.wanted) - used, "%s%s", separator,
                          name_of(candidate));
    separator = " or ";
  }
  return *this;
}

Rules& Rules::same_device(const char* name, const TensorView& view,
                          const TensorView& first) noexcept {
  const bool same = view.device == first.device && view.device_index == first.device_index;
  if (!status_.ok() || same) return *this;
  status_ = failure(kArgument, "", "%s on %s", name, DeviceName(view).text);
  std::snprintf(status_.wanted, sizeof(status_.wanted), "every tensor on %s",
                DeviceName(first).text);
  return *this;
}

Rules& Rules::size(const char* name, const TensorView& view, int axis, std::int64_t wanted,
                   const char* what) noexcept {
  if (!status_.ok() || view.sizes[axis] == wanted) return *this;
  status_ = failure(kArgument, "", "%lld", static_cast<long long>(view.sizes[axis]));
  std::snprintf(status_.wanted, sizeof(status_.wanted), "%s with %lld (%s) along axis %d", name,
                static_cast<long long>(wanted), what, axis);
  return *this;
}

Rules& Rules::directions(const char* name, const TensorView& view) noexcept {
  const bool volume = view.rank == kVolumeRank;
  return size(name, view, 1, volume ? 3 : 2, volume ? "x, y and z" : "x and y");
}

Rules& Rules::sides(const char* name, const TensorView& view, const char* like_name,
                    const TensorView& like) noexcept {
  constexpr const char* kNames[] = {"depth", "height", "width"};
  for (int axis = 2; axis < like.rank && status_.ok(); ++axis) {
    if (view.sizes[axis] == like.sizes[axis]) continue;  // first: text takes as long as the rest
    char what[64];
    std::snprintf(what, sizeof(what), "%s's %s", like_name, kNames[3 - (like.rank - axis)]);
    size(name, view, axis, like.sizes[axis], what);
  }
  return *this;
}

Rules& Rules::plane(const char* name, const TensorView& view) noexcept {
  return span(name, view, 2, "plane");
}

Rules& Rules::extent(const char* name, const TensorView& view) noexcept {
  return view.rank == kVolumeRank ? span(name, view, 3, "volume") : plane(name, view);
}

/// The last `axes` axes, which are a `what`.
Rules& Rules::span(const char* name, const TensorView& view, int axes, const char* what) noexcept {
  if (!status_.ok()) return *this;
  std::int64_t span = 1;
  for (int axis = view.rank - axes; axis < view.rank; ++axis) {
    const std::int64_t side = view.sizes[axis];
    if (side >= kSideLimit) {
      status_ = failure(kArgument, "", "%lld", static_cast<long long>(side));
      std::snprintf(status_.wanted, sizeof(status_.wanted), "%s with sides below %lld", name,
                    static_cast<long long>(kSideLimit));
      return *this;
    }
    // Sides are below 2^24 and real strides below 2^39, so the product cannot overflow.
    span += side > 0 ? (side - 1) * std::llabs(view.strides[axis]) : 0;
  }
  if (span >= kPlaneLimit) {
    status_ = failure(kArgument, "", "a %s that spans %lld", what, static_cast<long long>(span));
    std::snprintf(status_.wanted, sizeof(status_.wanted), "%s with %ss of fewer than %lld elements",
                  name, what, static_cast<long long>(kPlaneLimit));
  }
  return *this;
}

Rules& Rules::range(const char* name, double value, double low, double high) noexcept {
  // !(in range), so that NaN fails.
  if (!status_.ok() || (value >= low && value <= high)) return *this;
  status_ = failure(kArgument, "", "%g", value);
  std::snprintf(status_.wanted, sizeof(status_.wanted), "%s in %g..%g", name, low, high);
  return *this;
}

Rules& Rules::writable(const char* name, const TensorView& out) noexcept {
  if (!status_.ok() || out.elements() == 0) return *this;
  // Sorted by stride, each axis must step over everything the smaller ones reach.
  int order[kMaxRank];
  int axes = 0;
  for (int axis = 0; axis < out.rank; ++axis) {
    if (out.sizes[axis] == 1) continue;
    int slot = axes++;
    for (; slot > 0 && std::llabs(out.strides[order[slot - 1]]) > std::llabs(out.strides[axis]);
         --slot) {
      order[slot] = order[slot - 1];
    }
    order[slot] = axis;
  }
  std::int64_t reach = 0;
  for (int index = 0; index < axes; ++index) {
    const int axis = order[index];
    if (std::llabs(out.strides[axis]) <= reach) {
      status_ = failure(kArgument, "", "stride %lld along axis %d",
                        static_cast<long long>(out.strides[axis]), axis);
      std::snprintf(status_.wanted, sizeof(status_.wanted),
                    "%s whose elements do not overlap one another", name);
      return *this;
    }
    reach += (out.sizes[axis] - 1) * std::llabs(out.strides[axis]);
  }
  return *this;
}

Rules& Rules::disjoint(const char* name, const TensorView& input, const TensorView& out) noexcept {
  if (!status_.ok() || input.elements() == 0 || out.elements() == 0) return *this;
  const Extent read = extent_of(input);
  const Extent written = extent_of(out);
  if (read.end <= written.begin || written.end <= read.begin) return *this;
  status_ = failure(kArgument, "", "out overlapping %s", name);
  std::snprintf(status_.wanted, sizeof(status_.wanted), "out that overlaps no input");
  return *this;
}

}  // namespace cineflow
