#include "shared_bytes.hpp"

#include <accel/errors.hpp>
#include <accel/kv_overlap.hpp>
#include <cstdio>
#include <string>

namespace accel_cpu::kv {

using accel::fail;
using accel::SlotPairs;

void refuse_shared_bytes(const Bound& bound, const SlotPairs& pairs, const char* argument,
                         const std::vector<accel_kv_plane>* dst_planes) {
  std::uintptr_t address = 0;
  if (!accel::reads_what_it_writes(bound.layers, bound.planes,
                                   dst_planes == nullptr ? bound.planes : *dst_planes, bound.src,
                                   bound.dst, pairs, &address)) {
    return;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(address));
  fail("OverlapError", argument, "destinations that share no byte with the sources",
       std::string("the byte at address ") + text +
           " is in a run that is read and one that is written",
       "transfer through another cache, or in two calls");
}

}  // namespace accel_cpu::kv
