// What is prepared once for a pair of caches, or for writing to one, and looked up on every call.
#pragma once

#include <accel/cache_memory.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "elements.hpp"
#include "transfer.hpp"

namespace accel_cpu::kv {

using Addresses = std::vector<std::uintptr_t>;
using Targets = std::vector<std::pair<std::size_t, std::int64_t>>;  // plane, byte offset

enum class Sharing { None, Same, Partial };  // accel.kv.overlap.Sharing

struct Pair {
  std::shared_ptr<const Bound> bound;
  accel::CacheMemory src_memory, dst_memory;
  std::int64_t src_units = 0, dst_units = 0, unit_bytes = 0;
  Sharing sharing = Sharing::None;
};

std::unique_ptr<Pair> make_pair(std::int64_t layers, const pybind11::bytes& plan,
                                const Addresses& src_pointers, const Addresses& dst_pointers,
                                const Addresses& src_tensors, const Addresses& dst_tensors,
                                std::int64_t src_units, std::int64_t dst_units,
                                const std::string& sharing);

// Kinds by name; raises std::invalid_argument.
numeric::Kind kind_named(const std::string& dtype);
std::vector<ElementPlane> unpack_elements(const pybind11::bytes& plan,
                                          const std::vector<std::string>& src_dtypes,
                                          const std::vector<std::string>& dst_dtypes);

// Which scales a write has: none, or one a source, shared by all heads or not.
struct ScaleForm {
  bool quantized = false, per_head[2] = {false, false};
  bool operator==(const ScaleForm& other) const {
    return quantized == other.quantized && per_head[0] == other.per_head[0] &&
           per_head[1] == other.per_head[1];
  }
};

// How key and value of one shape, dtype and stride reach a layer: accel.kv.write.WritePlan, or with
// scales accel.kv.quantized_write.QuantizedWritePlan.
struct WritePlan {
  struct Source {
    std::uint64_t dtype;
    std::vector<std::int64_t> extents, strides;  // without, and with, the token axis
  };
  std::vector<Source> sources;
  ScaleForm form;
  std::vector<accel_kv_plane> planes;      // with scales, as the sources have them
  std::vector<accel_kv_plane> dst_planes;  // with scales, as the cache has them
  std::shared_ptr<const std::vector<ElementPlane>> elements;  // with scales
  Targets targets;
};

class Writer {
 public:
  // nullptr when there is none, or when the tensors or the layer are not right: accel.kv.write then
  // finds the words for it.
  const WritePlan* find(std::int64_t layer, const accel::TensorView* views, int count,
                        const ScaleForm& form = {}) const;
  void add(pybind11::handle key, pybind11::handle value, const pybind11::bytes& plan,
           const Targets& targets);
  void add_quantized(pybind11::handle key, pybind11::handle value, const pybind11::bytes& plan,
                     const Targets& targets, const std::vector<std::string>& src_dtypes,
                     const std::vector<std::string>& dst_dtypes,
                     const std::vector<bool>& per_head);
  // Of the plane that source `i` of `count` is written to.
  std::int64_t heads(int i, int count) const {
    return heads_[static_cast<std::size_t>(count) == planes_ ? static_cast<std::size_t>(i) : 0];
  }
  void check(PyObject* cache, std::int64_t layer) const;
  Bound bind(const WritePlan& plan, std::int64_t layer, const accel::TensorView* views, int count) const;
  // Whether a source's bounds meet the layer's.
  bool may_share(std::int64_t layer, const accel::TensorView* views, int count) const;

  std::int64_t slots = 0;

 private:
  friend std::unique_ptr<Writer> make_writer(const std::vector<std::int64_t>&, std::int64_t,
                                             const Addresses&, const std::vector<std::int64_t>&,
                                             const Addresses&,
                                             const std::vector<std::vector<std::size_t>>&);
  void keep(pybind11::handle key, pybind11::handle value, std::unique_ptr<WritePlan> plan);

  std::size_t planes_ = 0;
  std::vector<std::int64_t> heads_;  // by plane
  Addresses pointers_;
  std::vector<std::int64_t> spans_;  // by plane: bytes from a layer's base to its end
  accel::CacheMemory memory_;
  std::vector<std::vector<std::size_t>> tensors_of_layer_;
  std::vector<std::unique_ptr<WritePlan>> plans_;  // most recent last
};

std::unique_ptr<Writer> make_writer(const std::vector<std::int64_t>& heads, std::int64_t slots,
                                    const Addresses& pointers,
                                    const std::vector<std::int64_t>& spans,
                                    const Addresses& tensors,
                                    const std::vector<std::vector<std::size_t>>& tensors_of_layer);

}  // namespace accel_cpu::kv
