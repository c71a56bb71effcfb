// What is prepared once: kernels for a device, copies between two caches, and writes to one.
#pragma once

#include <accel/cache_memory.hpp>
#include <accel/kv_slots.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "copy_plan.hpp"
#include "driver/launch.hpp"
#include "host_lane.hpp"
#include "index_uploads.hpp"
#include "runtime/runtime.hpp"

namespace accel_cuda::kv {

// The kernels of this folder's sources on one device, and what their launches share.
class Kernels {
 public:
  // `functions` by name: the kernels of kv_copy.cu and kv_gather.cu. `share` is the part of the
  // multiprocessors, above 0 and at most 1, that kernels of transfers to and from the host may use.
  Kernels(int device_index, const pybind11::dict& functions, double share);

  const Device& device;
  Runtime& runtime;
  Function copy[kCopyKernels] = {};
  Function gather_slots = nullptr;
  Function upload = nullptr;
  unsigned host_blocks = 0;  // of a launch that touches host memory
  IndexUploads uploads;
  HostLane to_host, from_host;

 private:
  void load_kernels() const;
};

// Device memory that holds the bases of launches whose arguments have no room for them.
class BaseTable {
 public:
  BaseTable(const Device& device, const std::vector<BasePair>& bases);
  ~BaseTable();
  BaseTable(const BaseTable&) = delete;
  BaseTable& operator=(const BaseTable&) = delete;
  DevicePointer address() const { return address_; }

 private:
  const Device& device_;
  DevicePointer address_ = 0;
};

// Launches for units of one form: as the plan has them, or several as one.
struct CopyForm {
  std::vector<CopyLaunch> launches;
  std::vector<std::unique_ptr<BaseTable>> tables;
  std::int64_t shortest_run = 0;  // vectors of fewer bytes than 16, or runs of few: worth grouping
};

std::unique_ptr<CopyForm> make_form(const Device& device, const std::vector<CopyKind>& kinds);

// Remembers which streams torch's allocator was told of, for the tensors of one cache.
class KnownStreams {
 public:
  // tensor.record_stream for every tensor of the cache, on the first call for a stream; while the
  // stream is captured, on every call. The GIL must be held.
  void tell(Runtime& runtime, StreamHandle stream, PyObject* cache);

 private:
  std::vector<StreamHandle> known_;
};

enum class Sharing { None, Same, Partial };  // accel.kv.overlap.Sharing

// Two caches.
class Pair {
 public:
  Kernels& kernels;
  std::int64_t layers = 0;
  std::vector<accel_kv_plane> planes;
  std::vector<Address> src, dst;  // as the device addresses them
  accel::CacheMemory src_memory, dst_memory;
  bool src_on_host = false, dst_on_host = false;
  std::int64_t src_units = 0, dst_units = 0, unit_bytes = 0;
  Sharing sharing = Sharing::None;
  KnownStreams src_streams, dst_streams;

  explicit Pair(Kernels& kernels_) : kernels(kernels_) {}

  // Made on first use. `group` is a power of two.
  const CopyForm& form(std::int64_t group);

 private:
  std::map<std::int64_t, std::unique_ptr<CopyForm>> forms_;
};

std::unique_ptr<Pair> make_pair(Kernels& kernels, bool src_on_host, bool dst_on_host,
                                std::int64_t layers, const pybind11::bytes& plan,
                                const std::vector<Address>& src_pointers,
                                const std::vector<Address>& dst_pointers,
                                const std::vector<std::uintptr_t>& src_tensors,
                                const std::vector<std::uintptr_t>& dst_tensors,
                                std::int64_t src_units, std::int64_t dst_units,
                                const std::string& sharing);

// The device's address of `bytes` bytes of host memory; 0 when the device cannot reach all of them.
Address mapped_address(const Device& device, Address host, std::int64_t bytes);

}  // namespace accel_cuda::kv
