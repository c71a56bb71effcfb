// What is prepared once for a Rope or a cache, and a call's arguments read into a launch.
//
// Everything here returns false, having done nothing, when an argument is not right or something was
// not prepared: accel/kv/rope_arguments.py then has the words, or finds that all is well.
#pragma once

#include <accel/cache_memory.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rope_plan.hpp"
#include "tools.hpp"

namespace accel_cuda::arith {

// A Rope: what it means for each head dim that was met.
class Rotation {
 public:
  Rotation(std::shared_ptr<Tools> tools, std::int64_t offset, bool interleaved)
      : tools(std::move(tools)), offset_(offset), interleaved_(interleaved) {}

  // `inv_freq` [pairs] in radians per position; with a cos_sin_cache only their number counts.
  void add(std::int64_t head_dim, const std::vector<double>& inv_freq);

  struct Known {
    Turning turning;
    std::map<int, std::unique_ptr<DeviceTable>> tables;  // of the turns, by device
  };
  Known* find(std::int64_t head_dim);

  const std::shared_ptr<Tools> tools;

 private:
  std::int64_t offset_;
  bool interleaved_;
  std::map<std::int64_t, Known> of_head_dim_;
};

// The keys of a cache.
struct KeyCache {
  KeyHeads keys;
  std::vector<std::uintptr_t> bases;  // of plane 0 of each layer
  std::unique_ptr<DeviceTable> table;
  accel::CacheMemory memory;
  ToldStreams streams;
  int device_index = 0;
  std::int64_t slots = 0, head_dim = 0;
  std::int64_t block_size = 1, block_stride = 0, slot_stride = 0;
  std::int64_t span = 0;  // from a layer's base to the end of its last token
};

std::unique_ptr<KeyCache> make_key_cache(Tools& tools, int device_index,
                                         const std::vector<std::uintptr_t>& bases,
                                         const std::vector<std::uintptr_t>& tensors,
                                         const std::string& dtype,
                                         const std::vector<std::int64_t>& shape,
                                         const std::vector<std::int64_t>& strides,
                                         std::int64_t span);

// A launch, and what it needs beside its arguments.
struct RopeCall {
  DeviceTools* tools = nullptr;
  std::unique_ptr<RopeLaunch> launch;   // none: there is nothing to do
  std::vector<accel_rope_token> tokens;  // those that move, where the host has read the positions
};

// `apart`: that keys overlap neither themselves nor the other tensors is known already.
bool read_tensor_call(Rotation& rotation, PyObject* keys, PyObject* old_positions,
                      PyObject* new_positions, PyObject* table, bool apart, RopeCall* call);
bool read_cache_call(Rotation& rotation, const KeyCache& cache, PyObject* old_positions,
                     PyObject* new_positions, PyObject* table, PyObject* slots, PyObject* layer,
                     bool apart, RopeCall* call);

}  // namespace accel_cuda::arith
