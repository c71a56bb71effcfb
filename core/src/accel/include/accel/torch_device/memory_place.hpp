// Where the memory of a copy's operand lies. Needs the GIL.
#pragma once

#include <string>

#include "../copy_checks.hpp"
#include "pinned.hpp"

namespace accel {

namespace detail {

// From its first byte to its last.
inline std::size_t span_of(const Operand& operand) {
  if (operand.contiguous) return operand.nbytes;
  const Strides strides = operand.strides();
  auto span = static_cast<std::size_t>(strides.itemsize);
  for (std::size_t k = 0; k < strides.shape.size(); ++k) {
    span += static_cast<std::size_t>((strides.shape[k] - 1) * strides.bytes[k]);
  }
  return span;
}

inline bool pinned_by_torch(const Operand& operand) {
  if (!operand.is_tensor) return false;
  static PyObject* const name = PyUnicode_InternFromString("is_pinned");
  return is_true(call_method(operand.object, name));
}

inline std::string device_name(int index) {
  return std::string(runtime().names().device) + ":" + std::to_string(index);
}

// What the library says of an address that is said to be a device's.
inline void require_device_memory(const Operand& operand, int index) {
  using Kind = FoundMemory::Kind;
  for (const std::uintptr_t at : {operand.pointer, operand.pointer + operand.nbytes - 1}) {
    const FoundMemory found = runtime().find(at);
    if (found.kind == Kind::NotSaid) return;
    if (found.kind == Kind::Device && found.device == index) continue;
    std::string given = std::to_string(operand.nbytes) + " bytes at " +
                        std::to_string(operand.pointer) + ": ";
    if (found.kind == Kind::Unknown) {
      given += std::string("no memory that ") + runtime().names().api + " knows";
    } else if (found.kind == Kind::Device) {
      given += "memory of " + device_name(found.device);
    } else {
      given += "host memory, or not all of the range";
    }
    fail("DeviceError", operand.name, "memory of " + device_name(index) + ", as its device says",
         given,
         "give the MemRef the device that the memory is of, and no more bytes than there are");
  }
}

inline void require_host_memory(const Operand& operand) {
  const FoundMemory found = runtime().find(operand.pointer);
  if (found.kind != FoundMemory::Kind::Device) return;
  fail("DeviceError", operand.name, "host memory, as its device says",
       std::to_string(operand.nbytes) + " bytes at " + std::to_string(operand.pointer) +
           ": memory of " + device_name(found.device),
       "give the MemRef the device that the memory is of");
}

}  // namespace detail

// An operand of the host or of the vendor's device, still there. DTypeError, DeviceError,
// FreedError, ...
inline Operand parse_operand(PyObject* object, const std::string& name) {
  Operand operand = Operand::parse(object, name.c_str());
  if (!operand.is_cpu && !operand.is_private) {
    fail("DeviceError", name,
         std::string("memory of the host or of an ") + runtime().names().device + " device",
         describe(operand.device().get()));
  }
  if (!operand.has_owner) return operand;
  const Ref owner = detail::attribute(object, detail::names().owner);
  if (runtime().is_freed(owner.get())) {
    fail("FreedError", name, "memory whose owner was not freed", describe(owner.get()));
  }
  return operand;
}

// Where it lies. Host memory counts as page-locked when the pool or its registrations hold all of
// it, or torch's own pinned memory does. `index` is meant by a MemRef of a device without an index.
inline MemoryPlace place_of(const Operand& operand, int index) {
  if (operand.nbytes == 0) return {MemoryPlace::Kind::Device, index};
  if (!operand.is_cpu) {
    const int device = operand.device_index < 0 ? index : operand.device_index;
    if (!operand.is_tensor) {
      const int count = runtime().device_count();
      if (device >= count) {
        fail("DeviceError", operand.name, "a device below " + detail::device_name(count),
             detail::device_name(device));
      }
      detail::require_device_memory(operand, device);
    }
    return {MemoryPlace::Kind::Device, device};
  }
  auto& pool = pinned_pool();
  const std::size_t span = detail::span_of(operand);
  if (pool.anything_in_use() && pool.holds(operand.pointer, span)) {
    return {MemoryPlace::Kind::Pinned, -1};
  }
  if (!operand.is_tensor) detail::require_host_memory(operand);
  if (pool.is_pinned(operand.pointer, span) || detail::pinned_by_torch(operand)) {
    return {MemoryPlace::Kind::Pinned, -1};
  }
  return {MemoryPlace::Kind::Pageable, -1};
}

}  // namespace accel
