// What copies take, and where it lies: everything that an address has to pass before a copy or a
// kernel is given it. Needs the GIL.
#pragma once

#include <accel/copy_checks.hpp>

#include <string>

#include "../runtime/memory_place.hpp"

namespace accel_cuda {

// An operand of the host or of a device, still there. DTypeError, DeviceError, FreedError, ...
accel::Operand parse_operand(PyObject* object, const std::string& name);

// Where it lies: never Unknown. DeviceError when it is not where it says. `device` is meant by a
// MemRef of "cuda" without an index. An operand of no bytes is anywhere.
Place place_of(const accel::Operand& operand, const Device& device);

}  // namespace accel_cuda
