#include "slot_arguments.hpp"

#include <accel/errors.hpp>
#include <accel/kv_overlap.hpp>
#include <cstdio>
#include <string>

#include "gather.hpp"

namespace accel_cpu::kv {

using accel::fail;
using accel::SlotList;
using accel::SlotPairs;

SlotList column(const TensorView& view, std::int64_t first, std::int64_t stride) {
  SlotList list;
  list.size = view.shape[0];
  list.stride = stride;
  list.wide = view.is_int64;
  const auto itemsize = view.is_int64 ? 8 : 4;
  const auto skipped = static_cast<std::uintptr_t>(first * itemsize);
  list.data = reinterpret_cast<const void*>(view.data + skipped);
  return list;
}

SlotList read_slots(PyObject* slots, const char* argument, TensorView* view) {
  read_indices(slots, argument, 1, view);
  return column(*view, 0, view->strides[0]);
}

void raise_fault(const accel::SlotFault& fault, const char* src, const char* dst) {
  fail(fault.is_overlap() ? "OverlapError" : "SlotError", fault.in_source() ? src : dst,
       fault.expected(), fault.given(), fault.cure());
}

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
