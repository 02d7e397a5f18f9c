#include "cineflow/pair_quality.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "binding.h"

namespace cineflow::python {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style>;
using Doubles = py::array_t<double, py::array::c_style>;

void require_blocks(const char* name, const py::array& array, py::ssize_t size) {
  if (array.size() == size) return;
  throw py::value_error(std::string(name) + ": " + std::to_string(size) + " values, not " +
                        std::to_string(array.size()));
}

/// Returns (supported, photometric, correlation, deformation, folded, appearance, temporal,
/// tissue, grey).
py::tuple pair_quality(const Floats& statistics, const std::optional<Floats>& flow_before,
                       const std::optional<Doubles>& tissue_before,
                       const std::optional<Doubles>& grey_before, double frames) {
  if (statistics.ndim() != 3 || statistics.shape(0) != kPairFields) {
    throw py::value_error("statistics: [" + std::to_string(kPairFields) + ", h, w]");
  }
  const py::ssize_t rows = statistics.shape(1), columns = statistics.shape(2);
  const py::ssize_t blocks = rows * columns;
  BlockPicture before{};
  const bool follows = flow_before.has_value();
  if (follows != tissue_before.has_value() || follows != grey_before.has_value()) {
    throw py::value_error("flow, tissue and grey before: all three, or none of them");
  }
  if (follows) {
    require_blocks("flow before", *flow_before, 2 * blocks);
    require_blocks("tissue before", *tissue_before, blocks);
    require_blocks("grey before", *grey_before, blocks);
    before = {flow_before->data(), tissue_before->data(), grey_before->data()};
  }
  Doubles tissue({rows, columns}), grey({rows, columns});
  const PairQuality quality =
      cineflow::pair_quality({blocks, statistics.data(), follows ? &before : nullptr, frames,
                              tissue.mutable_data(), grey.mutable_data()});
  return py::make_tuple(quality.supported, quality.photometric_px, quality.correlation,
                        quality.deformation, quality.folded, quality.appearance,
                        quality.temporal_px, tissue, grey);
}

const Binding binding([](py::module_& module) {
  module.def("pair_quality", &pair_quality, py::arg("statistics"), py::arg("flow_before"),
             py::arg("tissue_before"), py::arg("grey_before"), py::arg("frames"),
             "Parts of the quality of a pair. See cineflow.ops.pair_quality.");
});

}  // namespace

}  // namespace cineflow::python
