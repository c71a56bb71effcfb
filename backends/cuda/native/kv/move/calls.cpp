#include "calls.hpp"

#include <accel/kv_overlap.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

#include "host_transfer.hpp"
#include "runtime/pending.hpp"
#include "runtime/torch_streams.hpp"

namespace accel_cuda::kv {
namespace {

using accel::fail;
using accel::SlotFault;
using accel::SlotList;
using accel::SlotPairs;

// Runs from this many bytes on are copied at full speed without joining units.
constexpr std::int64_t kLongEnough = 64;
constexpr std::int64_t kMostGroup = 256;
constexpr std::int64_t kMost32 = (std::int64_t{1} << 31) - 1;

int width_of(const DeviceList& list, std::int64_t bound) {
  if (list.where != DeviceList::Where::Host) return 0;
  return bound <= kMost32 ? 4 : 8;
}

void fill_list(accel_copy_list* out, const DeviceList& list, std::int64_t bound,
               unsigned argument) {
  out->bound = bound;
  out->argument = argument;
  out->stride = list.stride;
  out->data = list.data;
  if (list.where == DeviceList::Where::Counted) {
    out->form = ACCEL_COPY_COUNTED;
  } else {
    out->form = list.wide ? ACCEL_COPY_INT64 : ACCEL_COPY_INT32;
  }
}

// Writes a host list as int32 behind `at` words of 4 bytes; returns where the next goes.
std::int64_t place_here(accel_copy_args* args, accel_copy_list* out, const DeviceList& list,
                        std::int64_t units, std::int64_t at) {
  if (list.where != DeviceList::Where::Host) return at;
  auto* const words = reinterpret_cast<std::int32_t*>(args->words) + at;
  for (std::int64_t i = 0; i < units; ++i) words[i] = static_cast<std::int32_t>(list.values[i]);
  out->form = ACCEL_COPY_HERE;
  out->data = static_cast<std::uint64_t>(at);
  out->stride = 1;
  return at + units;
}

// A host list, copied into a slab behind `at` bytes, as the device will see it.
DeviceList place_in_slab(const IndexUploads::Slab& slab, const DeviceList& list, std::int64_t units,
                         int width, std::size_t* at) {
  if (list.where != DeviceList::Where::Host) return list;
  char* const to = slab.host() + *at;
  if (width == 8) {
    std::memcpy(to, list.values, static_cast<std::size_t>(units) * 8);
  } else {
    auto* const narrow = reinterpret_cast<std::int32_t*>(to);
    for (std::int64_t i = 0; i < units; ++i) narrow[i] = static_cast<std::int32_t>(list.values[i]);
  }
  DeviceList result;
  result.where = DeviceList::Where::Device;
  result.data = slab.device() + *at;
  result.wide = width == 8;
  *at += (static_cast<std::size_t>(units) * static_cast<std::size_t>(width) + 7) / 8 * 8;
  return result;
}

// Calls emit(launch, blocks, args) for every launch.
template <class Emit>
void each_launch(const CopyCall& call, DevicePointer fault, Emit emit) {
  for (const CopyLaunch& launch : call.form->launches) {
    accel_copy_args args = launch.args;
    args.fault = fault;
    args.fault_kind = call.fault_kind;
    args.count = call.count;
    // A counted launch is one: how many units it has is only known on the device.
    for (std::int64_t first = 0; first < call.units; first += launch.most_units) {
      const std::int64_t units = std::min(call.units - first, launch.most_units);
      const DeviceList src = call.src.from(first), dst = call.dst.from(first);
      fill_list(&args.src, src, call.src_bound, call.src_argument);
      fill_list(&args.dst, dst, call.dst_bound, call.dst_argument);
      std::int64_t at = launch.inline_bases() ? 4 * launch.base_count : 0;
      at = place_here(&args, &args.src, src, units, at);
      place_here(&args, &args.dst, dst, units, at);
      unsigned blocks = launch.size(&args, units);
      if (call.most_blocks != 0) blocks = std::min(blocks, call.most_blocks);
      emit(launch, blocks, args);
    }
  }
}

void launch_all(Kernels& kernels, const CopyCall& call, StreamHandle stream, DevicePointer fault) {
  each_launch(call, fault, [&](const CopyLaunch& made, unsigned blocks, const accel_copy_args& args) {
    launch(kernels.device, kernels.copy[made.kernel], {blocks}, ACCEL_COPY_THREADS,
           made.shared_bytes, stream, &args);
  });
}

// Indices on the host that stand beside others on the device: only their range can be told.
std::vector<std::int64_t> checked_alone(const SlotList& list, std::int64_t bound,
                                        const char* argument) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(list.size));
  for (std::int64_t i = 0; i < list.size; ++i) {
    values[static_cast<std::size_t>(i)] = list[i];
    if (list[i] < bound) continue;
    SlotFault fault;
    fault.kind = SlotFault::Kind::DestinationRange;
    fault.slot = list[i];
    fault.position = i;
    fault.bound = bound;
    accel::raise_fault(fault, argument, argument);
  }
  return values;
}

}  // namespace

void refuse_shared_bytes(Address address, const char* argument) {
  char text[32];
  std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(address));
  fail("OverlapError", argument, "destinations that share no byte with the sources",
       std::string("the byte at address ") + text +
           " is in a run that is read and one that is written",
       "transfer through another cache, or in two calls");
}

void launch_copy(Kernels& kernels, const CopyCall& call, StreamHandle stream) {
  const int src_width = width_of(call.src, call.src_bound);
  const int dst_width = width_of(call.dst, call.dst_bound);
  const std::int64_t here = (src_width != 0 ? 1 : 0) + (dst_width != 0 ? 1 : 0);
  bool fits = src_width != 8 && dst_width != 8;
  for (const CopyLaunch& launch : call.form->launches) {
    fits = fits && here * call.units <= launch.index_room();
  }
  const DevicePointer fault = kernels.runtime.state(stream).fault_address();
  if (here == 0 || fits) {
    const Submission submission(kernels.runtime);
    launch_all(kernels, call, stream, fault);
    return;
  }
  const Current current(kernels.device);
  const auto bytes = static_cast<std::size_t>(call.units * (src_width + dst_width) + 16);
  const IndexUploads::Slab slab(kernels.uploads, bytes, stream);
  CopyCall uploaded = call;
  std::size_t used = 0;
  uploaded.src = place_in_slab(slab, call.src, call.units, src_width, &used);
  uploaded.dst = place_in_slab(slab, call.dst, call.units, dst_width, &used);
  {
    const Submission submission(kernels.runtime);
    slab.send(used);
    launch_all(kernels, uploaded, stream, fault);
  }
}

std::vector<PackedLaunch> pack_launches(const CopyCall& call, DevicePointer fault) {
  std::vector<PackedLaunch> packed;
  each_launch(call, fault, [&](const CopyLaunch& made, unsigned blocks, const accel_copy_args& args) {
    packed.push_back({made.kernel, blocks, made.shared_bytes, args});
  });
  return packed;
}

std::int64_t common_group(const SlotPairs& pairs, const std::vector<accel_kv_plane>& planes,
                          std::int64_t most) {
  // Blocks' ends on either side: where the strides from unit to unit change.
  std::int64_t blocks[2] = {0, 0};
  for (const accel_kv_plane& plane : planes) {
    if (plane.ndim == ACCEL_KV_MAX_DIMS) return 1;
    const accel_kv_paging* const sides[2] = {&plane.src, &plane.dst};
    for (int s = 0; s < 2; ++s) {
      if (sides[s]->block_size > 1) blocks[s] = sides[s]->block_size;
    }
  }
  std::uint64_t bits = static_cast<std::uint64_t>(most);
  const std::size_t n = pairs.src.size();
  std::size_t begin = 0;
  for (std::size_t i = 1; i <= n; ++i) {
    const bool goes_on = i < n && pairs.src[i] == pairs.src[i - 1] + 1 &&
                         pairs.dst[i] == pairs.dst[i - 1] + 1 &&
                         (blocks[0] == 0 || pairs.src[i] % blocks[0] != 0) &&
                         (blocks[1] == 0 || pairs.dst[i] % blocks[1] != 0);
    if (goes_on) continue;
    bits |= static_cast<std::uint64_t>(i - begin);
    if ((bits & 1) != 0) return 1;
    begin = i;
  }
  return static_cast<std::int64_t>(bits & (~bits + 1));
}

void check_caches(Pair& pair, PyObject* src_cache, PyObject* dst_cache, const CallNames& names) {
  pair.src_memory.check(src_cache, names.src_cache);
  if (dst_cache != src_cache) pair.dst_memory.check(dst_cache, names.dst_cache);
  // Host memory may have been unregistered since, with its address unchanged.
  const struct {
    bool on_host;
    const accel::CacheMemory& memory;
    const char* argument;
  } sides[] = {{pair.src_on_host, pair.src_memory, names.src_cache},
               {pair.dst_on_host, pair.dst_memory, names.dst_cache}};
  for (const auto& side : sides) {
    if (!side.on_host) continue;
    for (const std::uintptr_t tensor : side.memory.tensors) {
      if (mapped_address(pair.kernels.device, tensor, 1) != 0) continue;
      fail("DeviceError", side.argument, "host memory that is pinned, as it was before",
           "memory that was unregistered", "build a new KVCache after unregistering");
    }
  }
}

void keep_caches(Pair& pair, PyObject* src_cache, PyObject* dst_cache, StreamHandle stream) {
  Runtime& runtime = pair.kernels.runtime;
  if (!pair.src_on_host) pair.src_streams.tell(runtime, stream, src_cache);
  if (!pair.dst_on_host && dst_cache != src_cache) {
    pair.dst_streams.tell(runtime, stream, dst_cache);
  }
  if (pair.src_on_host || pair.dst_on_host) keep(runtime, stream, {src_cache, dst_cache});
}

void run_transfer(Pair& pair, PyObject* src_cache, PyObject* dst_cache, const ListArgument& src,
                  const ListArgument& dst, StreamHandle stream, const CallNames& names) {
  check_caches(pair, src_cache, dst_cache, names);
  const std::int64_t n = src.list.size;
  if (n == 0) return;
  Runtime& runtime = pair.kernels.runtime;
  CopyCall call;
  call.src_bound = pair.src_units;
  call.dst_bound = pair.dst_units;
  call.src_argument = names.src_argument;
  call.dst_argument = names.dst_argument;
  call.fault_kind = names.fault_kind;
  if (pair.src_on_host || pair.dst_on_host) call.most_blocks = pair.kernels.host_blocks;

  if (src.tensor == nullptr && dst.tensor == nullptr) {
    thread_local SlotPairs pairs;
    const auto fault = accel::check_slots(src.list, dst.list, pair.src_units, pair.dst_units,
                                          pair.sharing == Sharing::Same, &pairs);
    if (fault) accel::raise_fault(fault, names.src, names.dst);
    if (pairs.src.empty()) return;
    std::uintptr_t address = 0;
    if (pair.sharing == Sharing::Partial &&
        accel::reads_what_it_writes(pair.layers, pair.planes,
                                    {pair.src.begin(), pair.src.end()},
                                    {pair.dst.begin(), pair.dst.end()}, pairs, &address)) {
      refuse_shared_bytes(address, names.dst);
    }
    if ((pair.src_on_host || pair.dst_on_host) && transfer_by_engine(pair, pairs, stream)) {
      keep_caches(pair, src_cache, dst_cache, stream);
      return;
    }
    std::int64_t group = 1;
    const CopyForm& plain = pair.form(1);
    bool crowded = false;
    for (const CopyLaunch& launch : plain.launches) {
      crowded |= 2 * static_cast<std::int64_t>(pairs.src.size()) > launch.index_room();
    }
    if (crowded || plain.shortest_run < kLongEnough) {
      group = common_group(pairs, pair.planes, kMostGroup);
    }
    thread_local SlotPairs starts;
    const SlotPairs* given = &pairs;
    if (group > 1) {
      starts.src.clear();
      starts.dst.clear();
      for (std::size_t i = 0; i < pairs.src.size(); i += static_cast<std::size_t>(group)) {
        starts.src.push_back(pairs.src[i]);
        starts.dst.push_back(pairs.dst[i]);
      }
      given = &starts;
    }
    call.form = &pair.form(group);
    call.src.where = call.dst.where = DeviceList::Where::Host;
    call.src.values = given->src.data();
    call.dst.values = given->dst.data();
    call.units = static_cast<std::int64_t>(given->src.size());
    launch_copy(pair.kernels, call, stream);
    keep_caches(pair, src_cache, dst_cache, stream);
    return;
  }

  std::vector<std::int64_t> beside;  // of the side that is on the host
  const auto place = [&](const ListArgument& given, std::int64_t bound, const char* argument) {
    if (given.tensor != nullptr) return given.on_device();
    DeviceList result;
    if (given.list.data == nullptr) return result;
    beside = checked_alone(given.list, bound, argument);
    result.where = DeviceList::Where::Host;
    result.values = beside.data();
    return result;
  };
  call.form = &pair.form(1);
  call.src = place(src, pair.src_units, names.src);
  call.dst = place(dst, pair.dst_units, names.dst);
  call.units = n;
  launch_copy(pair.kernels, call, stream);
  keep_caches(pair, src_cache, dst_cache, stream);
  if (src.tensor != nullptr) record_use(runtime, stream, src.tensor);
  if (dst.tensor != nullptr && dst.tensor != src.tensor) record_use(runtime, stream, dst.tensor);
}

}  // namespace accel_cuda::kv
