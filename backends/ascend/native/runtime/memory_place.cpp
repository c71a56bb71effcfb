#include "memory_place.hpp"

#include "../bindings/pinned.hpp"

namespace accel_ascend {
namespace {

using accel::Operand;

// From its first byte to its last.
std::size_t span_of(const Operand& operand) {
  if (operand.contiguous) return operand.nbytes;
  const accel::Strides strides = operand.strides();
  auto span = static_cast<std::size_t>(strides.itemsize);
  for (std::size_t k = 0; k < strides.shape.size(); ++k) {
    span += static_cast<std::size_t>((strides.shape[k] - 1) * strides.bytes[k]);
  }
  return span;
}

bool pinned_by_torch(const Operand& operand) {
  if (!operand.is_tensor) return false;
  static PyObject* const name = PyUnicode_InternFromString("is_pinned");
  return accel::detail::is_true(accel::detail::call_method(operand.object, name));
}

// What ACL says of an address that is said to be a device's; -1 where it does not say.
void require_device_memory(const Operand& operand, int index) {
  if (acl().pointer_attributes == nullptr) return;
  for (const std::uintptr_t at : {operand.pointer, operand.pointer + operand.nbytes - 1}) {
    PointerAttributes found{};
    const Result result =
        acl().pointer_attributes(reinterpret_cast<const void*>(at), &found);
    if (result == kNotSupported || result == kApiNotSupported) return;
    const bool fits = result == kSuccess && found.location.type == kLocationDevice &&
                      static_cast<int>(found.location.id) == index;
    if (fits) continue;
    std::string given = std::to_string(operand.nbytes) + " bytes at " +
                        std::to_string(operand.pointer) + ": ";
    if (result != kSuccess) {
      given += "no memory that ACL knows";
    } else if (found.location.type == kLocationDevice) {
      given += "memory of npu:" + std::to_string(found.location.id);
    } else {
      given += "host memory, or not all of the range";
    }
    accel::fail("DeviceError", operand.name,
                "memory of npu:" + std::to_string(index) + ", as its device says", given,
                "give the MemRef the device that the memory is of, and no more bytes than there "
                "are");
  }
}

void require_host_memory(const Operand& operand) {
  if (acl().pointer_attributes == nullptr) return;
  PointerAttributes found{};
  const Result result =
      acl().pointer_attributes(reinterpret_cast<const void*>(operand.pointer), &found);
  if (result != kSuccess || found.location.type != kLocationDevice) return;
  accel::fail("DeviceError", operand.name, "host memory, as its device says",
              std::to_string(operand.nbytes) + " bytes at " + std::to_string(operand.pointer) +
                  ": memory of npu:" + std::to_string(found.location.id),
              "give the MemRef the device that the memory is of");
}

}  // namespace

Operand parse_operand(PyObject* object, const std::string& name) {
  Operand operand = Operand::parse(object, name.c_str());
  if (!operand.is_cpu && !operand.is_private) {
    accel::fail("DeviceError", name, "memory of the host or of an npu device",
                accel::describe(operand.device().get()));
  }
  if (!operand.has_owner) return operand;
  const accel::Ref owner = accel::detail::attribute(object, accel::detail::names().owner);
  if (accel::PinnedModule<AclPinned>::is_freed(owner.get())) {
    accel::fail("FreedError", name, "memory whose owner was not freed",
                accel::describe(owner.get()));
  }
  return operand;
}

Place place_of(const Operand& operand, int index) {
  if (operand.nbytes == 0) return {Place::Kind::Device, index};
  if (!operand.is_cpu) {
    const int device = operand.device_index < 0 ? index : operand.device_index;
    if (!operand.is_tensor) {
      std::uint32_t count = 0;
      ACCEL_ACL_CALL(get_device_count, &count);
      if (device >= static_cast<int>(count)) {
        accel::fail("DeviceError", operand.name, "a device below npu:" + std::to_string(count),
                    "npu:" + std::to_string(device));
      }
      require_device_memory(operand, device);
    }
    return {Place::Kind::Device, device};
  }
  auto& pool = AclPinned::pool();
  const std::size_t span = span_of(operand);
  if (pool.anything_in_use() && pool.holds(operand.pointer, span)) {
    return {Place::Kind::Pinned, -1};
  }
  if (!operand.is_tensor) require_host_memory(operand);
  if (pool.is_pinned(operand.pointer, span) || pinned_by_torch(operand)) {
    return {Place::Kind::Pinned, -1};
  }
  return {Place::Kind::Pageable, -1};
}

}  // namespace accel_ascend
