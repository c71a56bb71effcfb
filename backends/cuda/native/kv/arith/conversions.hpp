// What is prepared once for conversions: a pair of caches, and writes of codes to a cache.
#pragma once

#include <accel/cache_memory.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "convert_plan.hpp"
#include "tools.hpp"

namespace accel_cuda::arith {

using Addresses = std::vector<std::uintptr_t>;

// The planes of a packed plan; raises std::invalid_argument.
std::vector<ElementPlane> unpack_elements(const pybind11::bytes& plan,
                                          const std::vector<std::string>& src_dtypes,
                                          const std::vector<std::string>& dst_dtypes);

// Two caches prepared for conversion.
class Converter {
 public:
  Converter(std::shared_ptr<Tools> tools, int device_index, const pybind11::bytes& plan,
            const std::vector<std::string>& src_dtypes, const std::vector<std::string>& dst_dtypes,
            const Addresses& src_pointers, const Addresses& dst_pointers,
            const Addresses& src_tensors, const Addresses& dst_tensors, std::int64_t units);

  // The scales are None, a number's in host memory, or float32 [layers, planes, heads] on the
  // device, as accel.kv.scales has them.
  void run(pybind11::handle src, pybind11::handle dst, pybind11::handle src_scales,
           bool src_per_head, pybind11::handle dst_scales, bool dst_per_head,
           pybind11::handle stream);

 private:
  DeviceTools& tools_;
  std::shared_ptr<Tools> owner_;
  std::vector<ConvertLaunch> launches_;
  DevicePointer bases_ = 0;
  std::size_t planes_ = 0, layers_ = 0;
  accel::CacheMemory src_memory_, dst_memory_;
  ToldStreams src_streams_, dst_streams_;
  std::int64_t units_;
};

// Writes of new keys and values as codes.
class CodeWriter {
 public:
  CodeWriter(std::shared_ptr<Tools> tools, int device_index, std::vector<std::int64_t> heads,
             std::int64_t slots, Addresses pointers, std::vector<std::int64_t> spans,
             const Addresses& tensors, std::vector<std::vector<std::size_t>> tensors_of_layer);

  // How key and value of one shape, dtype and stride reach a layer:
  // accel.kv.quantized_write.QuantizedWritePlan.
  void add_quantized(pybind11::handle key, pybind11::handle value, const pybind11::bytes& plan,
                     const std::vector<std::pair<std::size_t, std::int64_t>>& targets,
                     const std::vector<std::string>& src_dtypes,
                     const std::vector<std::string>& dst_dtypes,
                     const std::vector<bool>& per_head);

  // False when no plan for these tensors is known, or a scale is not of the usual kinds: nothing
  // was done then.
  bool write(pybind11::handle cache, std::int64_t layer, pybind11::handle key,
             pybind11::handle value, pybind11::handle slot_mapping, pybind11::handle key_scale,
             pybind11::handle value_scale, pybind11::handle stream);

 private:
  struct Source {
    std::uint64_t dtype;
    std::vector<std::int64_t> extents, strides;  // without, and with, the token axis
  };
  struct Plan {
    std::vector<Source> sources;
    std::vector<bool> per_head;
    std::vector<ElementPlane> planes;  // without bases
    std::vector<std::pair<std::size_t, std::int64_t>> targets;  // plane, byte offset
  };
  const Plan* find(std::int64_t layer, const accel::TensorView* views, int count,
                   const bool* per_head) const;
  std::int64_t heads(int i, int count) const {
    return heads_[static_cast<std::size_t>(count) == planes_ ? static_cast<std::size_t>(i) : 0];
  }
  bool may_share(std::int64_t layer, const accel::TensorView* views, int count) const;

  DeviceTools& tools_;
  std::shared_ptr<Tools> owner_;
  std::size_t planes_;
  std::vector<std::int64_t> heads_;  // by plane
  std::int64_t slots_;
  Addresses pointers_;
  std::vector<std::int64_t> spans_;  // by plane: bytes from a layer's base to its end
  accel::CacheMemory memory_;
  std::vector<std::vector<std::size_t>> tensors_of_layer_;
  std::vector<std::unique_ptr<Plan>> plans_;  // most recent last
  ToldStreams streams_;
};

}  // namespace accel_cuda::arith
