#include "copy_operands.hpp"

#include "pinned.hpp"

namespace accel_cuda {
namespace {

using accel::Operand;

std::string text_of(const Place& place) {
  switch (place.kind) {
    case Place::Kind::Device: return "memory of cuda:" + std::to_string(place.device);
    case Place::Kind::Pinned: return "page-locked host memory";
    case Place::Kind::Managed: return "managed memory";
    case Place::Kind::Pageable: return "host memory";
    case Place::Kind::Mixed: return "host memory of which a part is page-locked";
    case Place::Kind::Unknown: break;
  }
  return "no memory that the driver knows, or not all of the range";
}

std::string range_text(const Operand& operand) {
  return std::to_string(operand.nbytes) + " bytes at " + std::to_string(operand.pointer);
}

Place host_place(const Operand& operand) {
  auto& pool = CudaPinned::pool();
  if (pool.anything_in_use() &&
      pool.holds(operand.pointer, operand.contiguous ? operand.nbytes : 1)) {
    return {Place::Kind::Pinned, -1};
  }
  std::size_t span = operand.nbytes;
  if (!operand.contiguous) {
    const accel::Strides strides = operand.strides();
    span = static_cast<std::size_t>(strides.itemsize);
    for (std::size_t k = 0; k < strides.shape.size(); ++k) {
      span += static_cast<std::size_t>((strides.shape[k] - 1) * strides.bytes[k]);
    }
  }
  const Place place = place_of_host(operand.pointer, span);
  if (place.kind != Place::Kind::Device) return place;
  accel::fail("DeviceError", operand.name, "host memory, as its device says",
              range_text(operand) + ": " + text_of(place),
              "give the MemRef the device that the memory is of");
}

Place device_place(const Operand& operand, const Device& device) {
  const int index = operand.device_index < 0 ? device.index : operand.device_index;
  if (operand.is_tensor) return {Place::Kind::Device, index};
  const Place place = place_of_device(operand.pointer, operand.nbytes);
  if (place.kind == Place::Kind::Managed) return place;
  if (place.kind == Place::Kind::Device && place.device == index) return place;
  accel::fail("DeviceError", operand.name, "memory of cuda:" + std::to_string(index) +
                                               ", as its device says",
              range_text(operand) + ": " + text_of(place),
              "give the MemRef the device that the memory is of, and no more bytes than there are");
}

}  // namespace

Operand parse_operand(PyObject* object, const std::string& name) {
  Operand operand = Operand::parse(object, name.c_str());
  if (!operand.is_cpu && !operand.is_gpu) {
    accel::fail("DeviceError", name, "memory of the host or of a cuda device",
                accel::describe(operand.device().get()));
  }
  if (!operand.has_owner) return operand;
  const accel::Ref owner = accel::detail::attribute(object, accel::detail::names().owner);
  if (accel::PinnedModule<CudaPinned>::is_freed(owner.get())) {
    accel::fail("FreedError", name, "memory whose owner was not freed",
                accel::describe(owner.get()));
  }
  return operand;
}

Place place_of(const Operand& operand, const Device& device) {
  if (operand.nbytes == 0) return {Place::Kind::Device, device.index};
  return operand.is_cpu ? host_place(operand) : device_place(operand, device);
}

}  // namespace accel_cuda
