// The checks of streams and buffers that collectives and messages share.
#pragma once

#include <cstddef>
#include <vector>

#include "communicator.hpp"

namespace accel_hccl {

struct NamedBuffer {
  const char* name;
  const void* address;
};

/// Throws HCCL_E_PARA for a handle that is no stream, or (strict) for one of another device than
/// the communicator's.
accel_sim::Stream& checked_stream(const Communicator& communicator, Operation operation,
                                  void* handle);

/// Throws for an unknown data type or reduction. Strict: for a type that the chip does not take, an
/// unaligned address, and host memory. A null address is left to the caller.
void check_buffers(Operation operation, HcclDataType type, const HcclReduceOp* reduction,
                   const std::vector<NamedBuffer>& buffers);

/// Throws HCCL_E_PTR when the pointer is null.
void check_pointer(const char* name, const void* pointer);

const void* offset(const void* base, std::size_t bytes);

}  // namespace accel_hccl
