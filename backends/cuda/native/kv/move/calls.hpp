// What happens in a call: indices are read and checked, then kernels are launched or pieces copied.
#pragma once

#include <accel/kv_slots.hpp>

#include "list_arguments.hpp"
#include "movers.hpp"

namespace accel_cuda::kv {

// Units `count` of a form, as many launches as it takes.
struct CopyCall {
  const CopyForm* form = nullptr;
  DeviceList src, dst;
  std::int64_t units = 0;
  std::int64_t src_bound = 0, dst_bound = 0;
  unsigned src_argument = 0, dst_argument = 0, fault_kind = 0;  // of fault_record.h
  DevicePointer count = 0;  // where the device finds the number of units; 0: as given
  unsigned most_blocks = 0;  // 0: one for every tile
};

// Uploads what has to be, and launches. The GIL must be held.
void launch_copy(Kernels& kernels, const CopyCall& call, StreamHandle stream);

// What launch_copy launches when all indices fit, for tests that run the kernels on the CPU.
struct PackedLaunch {
  CopyKernel kernel;
  unsigned blocks, shared_bytes;
  accel_copy_args args;
};
std::vector<PackedLaunch> pack_launches(const CopyCall& call, DevicePointer fault);

// Pairs of units that follow one another on both sides, within a block of each, can be copied as
// one: the largest power of two that divides all such stretches.
std::int64_t common_group(const accel::SlotPairs& pairs, const std::vector<accel_kv_plane>& planes,
                          std::int64_t most);

// Names of arguments, for errors and for what a kernel reports.
struct CallNames {
  const char *src_cache, *dst_cache, *src, *dst;
  unsigned src_argument, dst_argument, fault_kind;
};

// A whole transfer, after the index tensors were understood as lists of equal length.
void run_transfer(Pair& pair, PyObject* src_cache, PyObject* dst_cache, const ListArgument& src,
                  const ListArgument& dst, StreamHandle stream, const CallNames& names);

// Raises the OverlapError for a byte that is both read and written.
[[noreturn]] void refuse_shared_bytes(Address address, const char* argument);

// Everything before the launch that run_transfer checks of caches: that they have their memory, and
// that torch's allocator and the pending list know of their use on `stream`.
void check_caches(Pair& pair, PyObject* src_cache, PyObject* dst_cache, const CallNames& names);
void keep_caches(Pair& pair, PyObject* src_cache, PyObject* dst_cache, StreamHandle stream);

}  // namespace accel_cuda::kv
