// Writes of new keys and values to the layers of one cache.
#pragma once

#include <accel/tensor_view.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "movers.hpp"

namespace accel_cuda::kv {

// How key and value of one shape, dtype and stride reach a layer: accel.kv.write.WritePlan.
struct WritePlan {
  struct Source {
    std::uint64_t dtype;
    std::vector<std::int64_t> extents, strides;  // without, and with, the token axis
  };
  std::vector<Source> sources;
  std::vector<accel_kv_plane> planes;
  std::vector<std::pair<std::size_t, std::int64_t>> targets;  // plane, byte offset
  std::unique_ptr<CopyForm> forms[5];  // by what all addresses are multiples of: 1, 2, 4, 8, 16
};

class Writer {
 public:
  Writer(Kernels& kernels, const std::vector<std::int64_t>& heads, std::int64_t slots,
         std::vector<std::uintptr_t> pointers, std::vector<std::int64_t> spans,
         std::vector<std::uintptr_t> tensors,
         std::vector<std::vector<std::size_t>> tensors_of_layer);

  void add(pybind11::handle key, pybind11::handle value, const pybind11::bytes& plan,
           const std::vector<std::pair<std::size_t, std::int64_t>>& targets);

  // False when no plan for these tensors is known: nothing was done then.
  bool write(pybind11::handle cache, std::int64_t layer, pybind11::handle key,
             pybind11::handle value, pybind11::handle slot_mapping, pybind11::handle stream);

  const std::vector<std::int64_t>& heads() const { return heads_; }
  std::int64_t slots() const { return slots_; }

 private:
  WritePlan* find(std::int64_t layer, const accel::TensorView* views, int count);
  const CopyForm& form(WritePlan& plan, const std::vector<BasePair>& bases, CopyForm* scratch);
  bool may_share(std::int64_t layer, const accel::TensorView* views, int count) const;

  Kernels& kernels_;
  std::size_t planes_;
  std::vector<std::int64_t> heads_;  // by plane
  std::int64_t slots_;
  std::vector<std::uintptr_t> pointers_;
  std::vector<std::int64_t> spans_;  // by plane: bytes from a layer's base to its end
  accel::CacheMemory memory_;
  std::vector<std::vector<std::size_t>> tensors_of_layer_;
  std::vector<std::unique_ptr<WritePlan>> plans_;  // most recent last
  KnownStreams streams_;
};

}  // namespace accel_cuda::kv
