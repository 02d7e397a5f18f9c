#include "cineflow/scan_convert.h"

#include "no_cuda/absent.h"

namespace cineflow {

Status scan_convert_cuda(const ScanConvertArgs&, void*) noexcept { return absent(); }

}  // namespace cineflow
