// The checks of streams and buffers that collectives and messages share.
#pragma once

#include <cstddef>
#include <vector>

#include "accel_sim/ranks/communicator.hpp"

namespace accel_ranks {

struct NamedBuffer {
  const char* name;
  const void* address;
};

/// Throws argument for a handle that is no stream, or (strict) for one of another device than
/// the communicator's.
accel_sim::Stream& checked_stream(const Communicator& communicator, Operation operation,
                                  void* handle);

/// Strict: throws for a type that the library does not take, an unaligned address, and host memory.
/// A null address is left to the caller.
void check_buffers(Operation operation, DataType type, const Reduction* reduction,
                   const std::vector<NamedBuffer>& buffers);

}  // namespace accel_ranks
