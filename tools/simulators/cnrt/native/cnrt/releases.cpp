// Functions that came after 6.0 are not there for who looks them up in a library of 6.0.
#include "accel_sim/release.hpp"

#include "pose.hpp"

namespace cnrt {
namespace {

__attribute__((constructor)) void hide_later_functions() {
  if (pose().is_614) return;
  accel_sim::hide_functions(
      reinterpret_cast<void*>(&hide_later_functions),
      {"cnrtGetDeviceProperties_V3", "cnrtIpcGetNotifierHandle", "cnrtIpcOpenNotifierHandle",
       "cnrtMemcpy2D", "cnrtMemcpy2DAsync", "cnrtMemcpyAsync_V2", "cnrtMemcpyAsync_V3",
       "cnrtPlaceNotifierWithFlags"});
}

}  // namespace
}  // namespace cnrt
