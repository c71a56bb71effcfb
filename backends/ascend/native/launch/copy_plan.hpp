// A strided copy between two caches on the device, made into the arguments of launches of the
// kernel accel_kv_copy. Knows addresses and strides only: no Python, no ACL: tests can run it.
#pragma once

#include <accel/kv_address.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "../../src/accel_ascend/kernels/fault_record.h"
#include "../../src/accel_ascend/kernels/kv_copy_args.h"

namespace accel_ascend::launch {

using Address = std::uint64_t;

// An index list of one side.
struct IndexArgument {
  enum class Where { Counted, Host, Device } where = Where::Counted;
  Address data = 0;
  std::int64_t stride = 1;  // elements
  bool wide = true;         // int64, else int32
  std::int64_t argument = 0;  // ACCEL_ASCEND_ARGUMENT_... of a report

  std::int64_t at(std::int64_t i) const;  // of a list on the host
};

struct CopyCall {
  IndexArgument src, dst;
  std::int64_t units = 0;
  std::int64_t fault_kind = 0;  // ACCEL_ASCEND_FAULT_...
  Address fault = 0;            // of the records, one for each core; 0: none
  Address count = 0;            // of the number of units, on the device; 0: as given
  std::int64_t cores = 1;
};

class CopyPlan {
 public:
  // `src` and `dst` are [layer * planes.size() + plane]; the units bound the indices. Throws
  // std::invalid_argument.
  CopyPlan(std::int64_t layers, std::vector<accel_kv_plane> planes, std::vector<Address> src,
           std::vector<Address> dst, std::int64_t src_units, std::int64_t dst_units);

  // Two units may share aligned 32 bytes of the destination in no order that can be divided among
  // cores: one core does it all.
  bool one_core() const { return group_ < 0; }
  std::int64_t unit_bytes() const;

  using Each = std::function<void(std::uint32_t cores, const std::vector<std::uint8_t>& args)>;
  // The launches of a call, in order.
  void pack(const CopyCall& call, const Each& each) const;

 private:
  void choose_group();
  bool groups_are_apart(std::int64_t blocks, std::int64_t units) const;
  void pack_part(const CopyCall& call, std::size_t first_base, std::size_t bases,
                 std::int64_t begin, std::int64_t end, const Each& each) const;

  std::vector<accel_kv_plane> planes_;
  std::vector<Address> src_, dst_;
  std::int64_t src_units_, dst_units_;
  std::int64_t group_ = 0;  // accel_ascend_copy_args::group; -1: one core
};

}  // namespace accel_ascend::launch
