// A strided copy between two caches on the device, made into the arguments of launches of a kernel
// that walks as accel/kv_copy_walk.h does. Knows addresses and strides only: no Python, no vendor
// library: tests can run it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kv_copy_args.h"
#include "kv_copy_groups.hpp"
#include "kv_fault_record.h"

namespace accel {

// An index list of one side.
struct KvIndexArgument {
  enum class Where { Counted, Host, Device } where = Where::Counted;
  std::uint64_t data = 0;
  std::int64_t stride = 1;    // elements
  bool wide = true;           // int64, else int32
  std::int64_t argument = 0;  // ACCEL_KV_ARGUMENT_... of a report

  std::int64_t at(std::int64_t i) const {  // of a list on the host
    if (wide) return reinterpret_cast<const std::int64_t*>(data)[i * stride];
    return reinterpret_cast<const std::int32_t*>(data)[i * stride];
  }
};

struct KvCopyCall {
  KvIndexArgument src, dst;
  std::int64_t units = 0;
  std::int64_t fault_kind = 0;  // ACCEL_KV_FAULT_...
  std::uint64_t fault = 0;      // of the records, one for each core; 0: none
  std::uint64_t count = 0;      // of the number of units, on the device; 0: as given
  std::int64_t cores = 1;
};

// What differs from device to device.
struct KvCopyLimits {
  std::int64_t granule;     // aligned bytes that two cores must not write at the same time
  std::int64_t args_bytes;  // of one launch, at most
};

class KvCopyPlan {
 public:
  using Address = std::uint64_t;

  // `src` and `dst` are [layer * planes.size() + plane]; the units bound the indices. Throws
  // std::invalid_argument.
  KvCopyPlan(std::int64_t layers, std::vector<accel_kv_plane> planes, std::vector<Address> src,
             std::vector<Address> dst, std::int64_t src_units, std::int64_t dst_units,
             KvCopyLimits limits)
      : planes_(std::move(planes)),
        src_(std::move(src)),
        dst_(std::move(dst)),
        src_units_(src_units),
        dst_units_(dst_units),
        limits_(limits) {
    if (planes_.empty() || planes_.size() > ACCEL_KV_COPY_PLANES) {
      throw std::invalid_argument("a copy has 1 to 16 planes");
    }
    const std::size_t bases = static_cast<std::size_t>(layers) * planes_.size();
    if (src_.size() != bases || dst_.size() != bases) {
      throw std::invalid_argument("a copy has an address for each layer and plane of both sides");
    }
    group_ = KvCopyGroups::choose(planes_, dst_, dst_units_, limits_.granule);
  }

  // Two units may share a granule of the destination in no order that can be divided among cores:
  // one core does it all.
  bool one_core() const { return group_ < 0; }

  std::int64_t unit_bytes() const {
    std::int64_t bytes = 0;
    for (const accel_kv_plane& plane : planes_) bytes += plane.run_bytes * plane.runs;
    return bytes * static_cast<std::int64_t>(dst_.size() / planes_.size());
  }

  using Each = std::function<void(std::uint32_t cores, const std::vector<std::uint8_t>& args)>;
  // The launches of a call, in order.
  void pack(const KvCopyCall& call, const Each& each) const {
    if (call.units == 0) return;
    const std::size_t pairs = most_pairs();
    for (std::size_t first = 0; first < dst_.size(); first += pairs) {
      const std::size_t bases = std::min(pairs, dst_.size() - first);
      const std::int64_t taken = head_bytes() + static_cast<std::int64_t>(bases * kPairBytes);
      std::int64_t each_unit = 0;  // bytes of indices that travel with the launch
      if (call.src.where == KvIndexArgument::Where::Host) each_unit += index_bytes(src_units_);
      if (call.dst.where == KvIndexArgument::Where::Host) each_unit += index_bytes(dst_units_);
      const std::int64_t most =
          each_unit == 0 ? call.units : (limits_.args_bytes - taken - 8) / each_unit;
      for (std::int64_t begin = 0; begin < call.units; begin += most) {
        pack_part(call, first, bases, begin, std::min(call.units, begin + most), each);
      }
    }
  }

 private:
  static constexpr std::int64_t kTaskBytes = 64 << 10;  // of a core at a time
  static constexpr std::int64_t kMostTaskUnits = 1024;
  static constexpr std::size_t kPairBytes = 2 * sizeof(Address);

  // Of an index that travels with a launch.
  static std::int64_t index_bytes(std::int64_t bound) { return bound <= INT32_MAX ? 4 : 8; }

  std::int64_t head_bytes() const {
    return static_cast<std::int64_t>(sizeof(accel_kv_copy_args) +
                                     planes_.size() * sizeof(accel_kv_plane));
  }

  // Pairs of bases in one launch: whole layers, in no more than half of the arguments.
  std::size_t most_pairs() const {
    const auto room = static_cast<std::size_t>(
        std::max<std::int64_t>(0, limits_.args_bytes - head_bytes()) / 2);
    const std::size_t layers = room / kPairBytes / planes_.size();
    if (layers == 0) throw std::invalid_argument("a launch's arguments do not hold the planes");
    return layers * planes_.size();
  }

  void pack_part(const KvCopyCall& call, std::size_t first_base, std::size_t bases,
                 std::int64_t begin, std::int64_t end, const Each& each) const {
    std::vector<std::uint8_t> bytes(sizeof(accel_kv_copy_args));
    accel_kv_copy_args args = {};
    args.units = end - begin;
    args.first = begin;
    args.bases = static_cast<std::int64_t>(bases);
    args.planes = static_cast<std::int64_t>(planes_.size());
    args.fault = call.fault;
    args.fault_kind = call.fault_kind;
    args.count = call.count;
    args.planes_at = static_cast<std::int64_t>(bytes.size());
    append(bytes, planes_.data(), planes_.size() * sizeof(accel_kv_plane));
    args.bases_at = static_cast<std::int64_t>(bytes.size());
    for (std::size_t i = first_base; i < first_base + bases; ++i) {
      append(bytes, &src_[i], sizeof(Address));
      append(bytes, &dst_[i], sizeof(Address));
    }
    put_list(call.src, src_units_, begin, end, &args.src, bytes);
    put_list(call.dst, dst_units_, begin, end, &args.dst, bytes);
    std::int64_t unit = 1;  // bytes of one base
    for (const accel_kv_plane& plane : planes_) {
      unit = std::max<std::int64_t>(unit, plane.run_bytes * plane.runs);
    }
    const std::int64_t most = std::min<std::int64_t>(kMostTaskUnits, args.units);
    args.task_units = std::clamp<std::int64_t>(kTaskBytes / unit, 1, most);
    args.group = std::max<std::int64_t>(group_, 0);
    const std::int64_t parts =
        group_ > 0 ? (dst_units_ + group_ - 1) / group_
                   : (args.units + args.task_units - 1) / args.task_units * args.bases;
    const std::int64_t cores = one_core() ? 1 : std::clamp<std::int64_t>(parts, 1, call.cores);
    std::memcpy(bytes.data(), &args, sizeof args);
    each(static_cast<std::uint32_t>(cores), bytes);
  }

  static void append(std::vector<std::uint8_t>& bytes, const void* data, std::size_t size) {
    const auto* const from = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  }

  static void put_list(const KvIndexArgument& given, std::int64_t bound, std::int64_t begin,
                       std::int64_t end, accel_kv_list* list, std::vector<std::uint8_t>& bytes) {
    list->stride = given.stride;
    list->bound = bound;
    list->argument = given.argument;
    if (given.where == KvIndexArgument::Where::Device) {
      const std::int64_t size = given.wide ? 8 : 4;
      list->form = given.wide ? ACCEL_KV_INT64 : ACCEL_KV_INT32;
      list->data = given.data + static_cast<Address>(begin * given.stride * size);
    } else if (given.where == KvIndexArgument::Where::Host) {
      list->stride = 1;
      const bool narrow = index_bytes(bound) == 4;
      list->form = narrow ? ACCEL_KV_HERE32 : ACCEL_KV_HERE64;
      list->data = bytes.size();
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t index = std::max<std::int64_t>(given.at(i), -1);
        const auto little = static_cast<std::int32_t>(std::min<std::int64_t>(index, INT32_MAX));
        if (narrow) {
          append(bytes, &little, sizeof little);
        } else {
          append(bytes, &index, sizeof index);
        }
      }
      bytes.resize((bytes.size() + 7) / 8 * 8);
    }
  }

  std::vector<accel_kv_plane> planes_;
  std::vector<Address> src_, dst_;
  std::int64_t src_units_, dst_units_;
  KvCopyLimits limits_;
  std::int64_t group_ = 0;  // accel_kv_copy_args::group; -1: one core
};

}  // namespace accel
