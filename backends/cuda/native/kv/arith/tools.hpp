// What arithmetic kernels share on the host: kernels by name and defines, found when they are first
// needed, and device memory that is kept between calls. The GIL must be held.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "driver/launch.hpp"
#include "kv/move/index_uploads.hpp"
#include "runtime/runtime.hpp"

namespace accel_cuda::arith {

// A kernel of kernels/*.cu: which file, which entry, and the names of its defines.
struct KernelEntry {
  const char* file;
  const char* kernel;
  std::array<const char*, 4> defines;
  bool large_shared = false;  // launches ask for as much shared memory as there is
};

enum KernelId : unsigned {
  kRopeReposition,
  kQuantizeRows1,
  kQuantizeRows2,
  kQuantizeRows4,
  kQuantizeRowsShort,
  kQuantizeRowsBlock,
  kQuantizeRowsOdd,
  kQuantizeColumns,
  kQuantizeStrips,
  kDequantizeRows,
  kDequantizeRowsOdd,
  kDequantizeColumns,
  kConvertElements,
  kKernelIds,
};

// One compiled form of a kernel: the values of its defines, in the order of KernelEntry::defines.
struct Variant {
  KernelId id = kRopeReposition;
  std::array<int, 4> values{};
};

const KernelEntry& entry_of(const Variant& variant);

// The variant's defines by name.
pybind11::dict defines_of(const Variant& variant);

// Remembers which streams torch's allocator was told of, for the tensors of one cache.
class ToldStreams {
 public:
  void tell(Runtime& runtime, StreamHandle stream, PyObject* cache);

 private:
  std::vector<StreamHandle> told_;
};

class DeviceTools {
 public:
  // Takes the memory that calls will need: an allocation may wait for work of the device, which a
  // call that queues work must not.
  DeviceTools(int index, pybind11::object find);

  const Device& device;
  Runtime& runtime;

  kv::IndexUploads uploads;

  Function function(const Variant& variant);

  // resident_clusters, remembered.
  unsigned resident(Function function, unsigned cluster, unsigned block, unsigned shared_bytes);

  // Copies constants to the device, to stay there; returns where.
  DevicePointer keep(const void* content, std::size_t bytes);

  // Device memory for one launch on `stream`, all zero; the launch must leave it so. The device's
  // context must be current.
  DevicePointer zeroed(std::size_t bytes, StreamHandle stream);

 private:
  struct Workspace {
    StreamHandle stream;
    DevicePointer address;
    std::size_t bytes;
  };

  // (device index, file, kernel, defines, dynamic shared bytes) -> handle of the function
  pybind11::object find_;
  // Zeroed at first; handed out from its beginning, and not taken back.
  DevicePointer arena_ = 0;
  std::size_t arena_used_ = 0;
  StreamHandle stream_ = nullptr;  // of copies to the arena

  DevicePointer take(std::size_t bytes);
  std::unordered_map<std::uint64_t, Function> functions_;
  std::map<std::array<std::uintptr_t, 4>, unsigned> resident_;
  std::vector<Workspace> workspaces_;  // those outgrown stay: work in flight may use them
};

class Tools {
 public:
  explicit Tools(pybind11::object find) : find_(std::move(find)) {}
  DeviceTools& on(int device_index);

 private:
  pybind11::object find_;
  std::vector<std::unique_ptr<DeviceTools>> devices_;
};

}  // namespace accel_cuda::arith
