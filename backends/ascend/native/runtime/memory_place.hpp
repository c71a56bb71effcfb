// Where the memory of a copy's operand lies. Needs the GIL.
#pragma once

#include <accel/copy_checks.hpp>

#include <string>

namespace accel_ascend {

struct Place {
  enum class Kind { Device, Pinned, Pageable };
  Kind kind = Kind::Device;
  int device = -1;

  bool on_host() const { return kind != Kind::Device; }
};

// An operand of the host or of an NPU, still there. DTypeError, DeviceError, FreedError, ...
accel::Operand parse_operand(PyObject* object, const std::string& name);

// Where it lies. Host memory counts as page-locked when the pool or its registrations hold all of
// it, or torch's own pinned memory does. `index` is meant by a MemRef of "npu" without an index.
Place place_of(const accel::Operand& operand, int index);

}  // namespace accel_ascend
