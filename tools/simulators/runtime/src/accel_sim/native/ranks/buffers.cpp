#include "buffers.hpp"

#include <cstdio>
#include <string>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

void check_aligned(Operation operation, const NamedBuffer& buffer, DataType type) {
  const std::size_t bytes = element_size(type);
  if (reinterpret_cast<std::uintptr_t>(buffer.address) % bytes == 0) return;
  char text[32];
  std::snprintf(text, sizeof text, "%p", buffer.address);
  throw RankFailure(Problem::argument, std::string(operation_name(operation)) + ": " +
                                           buffer.name + " " + text + " is not aligned to the " +
                                           std::to_string(bytes) + " bytes of " +
                                           type_name(type) + " (strict mode)");
}

}  // namespace

accel_sim::Stream& checked_stream(const Communicator& communicator, Operation operation,
                                  void* handle) {
  accel_sim::Stream& stream = accel_sim::stream_of(handle);
  if (accel_sim::modes().strict && stream.device().index() != communicator.device()) {
    throw RankFailure(Problem::argument, std::string(operation_name(operation)) +
                                       ": the stream is of device " +
                                       std::to_string(stream.device().index()) +
                                       ", the communicator of device " +
                                       std::to_string(communicator.device()) + " (strict mode)");
  }
  return stream;
}

void check_buffers(Operation operation, DataType type, const Reduction* reduction,
                   const std::vector<NamedBuffer>& buffers) {
  if (!accel_sim::modes().strict) return;
  if (vendor().check_supported != nullptr) vendor().check_supported(operation, type, reduction);
  for (const NamedBuffer& buffer : buffers) {
    if (buffer.address == nullptr) continue;
    check_aligned(operation, buffer, type);
    if (!accel_sim::is_device_address(buffer.address)) {
      throw RankFailure(Problem::argument, std::string(operation_name(operation)) + ": " +
                                               buffer.name +
                                               " is host memory: " + vendor().words.library +
                                               " takes device memory (strict mode)");
    }
  }
}

}  // namespace accel_ranks
