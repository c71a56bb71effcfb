#include "buffers.hpp"

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"

namespace accel_hccl {

accel_sim::Stream& checked_stream(const Communicator& communicator, Operation operation,
                                  void* handle) {
  accel_sim::Stream& stream = accel_sim::stream_of(handle);
  if (accel_sim::modes().strict && stream.device().index() != communicator.device()) {
    throw HcclFailure(HCCL_E_PARA, std::string(operation_name(operation)) +
                                       ": the stream is of device " +
                                       std::to_string(stream.device().index()) +
                                       ", the communicator of device " +
                                       std::to_string(communicator.device()) + " (strict mode)");
  }
  return stream;
}

void check_buffers(Operation operation, HcclDataType type, const HcclReduceOp* reduction,
                   const std::vector<NamedBuffer>& buffers) {
  element_size(type);
  if (reduction != nullptr) reduction_name(*reduction);
  if (!accel_sim::modes().strict) return;
  const bool is_310p = accel_sim::choice("ACCEL_SIM_SOC", {"910B", "310P"}) == "310P";
  check_supported(operation, type, reduction, is_310p);
  for (const NamedBuffer& buffer : buffers) {
    if (buffer.address == nullptr) continue;
    check_aligned(operation, buffer.name, buffer.address, type);
    if (!accel_sim::is_device_address(buffer.address)) {
      throw HcclFailure(HCCL_E_PARA, std::string(operation_name(operation)) + ": " + buffer.name +
                                         " is host memory: HCCL takes device memory (strict mode)");
    }
  }
}

void check_pointer(const char* name, const void* pointer) {
  if (pointer == nullptr) throw HcclFailure(HCCL_E_PTR, std::string(name) + " is a null pointer");
}

const void* offset(const void* base, std::size_t bytes) {
  return static_cast<const char*>(base) + bytes;
}

}  // namespace accel_hccl
