// Short names of the messages that frames and results travel in.
#pragma once

#include "wire.pb.h"

namespace cineflow_client {

using Request = cineflow_wire::ModelInferRequest;
using Response = cineflow_wire::ModelStreamInferResponse;

}  // namespace cineflow_client
