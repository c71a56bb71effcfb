// What is prepared once for a Rope or a cache, and a call's arguments read into Work.
//
// Everything here returns false, having written nothing, when an argument is not right or something
// was not prepared: accel/kv/rope_arguments.py then has the words, or finds that all is well.
#pragma once

#include <accel/cache_memory.hpp>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kv/handles.hpp"
#include "reposition.hpp"

namespace accel_cpu::rope {

// A Rope: what it means for each head dim that was met.
class Rotation {
 public:
  Rotation(std::int64_t offset, bool interleaved) : offset_(offset), interleaved_(interleaved) {}

  // `inv_freq` [pairs] in radians per position; with a cos_sin_cache only their number counts.
  void add(std::int64_t head_dim, const std::vector<double>& inv_freq);
  bool find(std::int64_t head_dim, Channels* channels,
            std::shared_ptr<const std::vector<double>>* inv_freq) const;

 private:
  std::int64_t offset_;
  bool interleaved_;
  std::map<std::int64_t, std::shared_ptr<const std::vector<double>>> of_head_dim_;
};

// The keys of a cache. Strides in bytes.
struct KeyCache {
  std::vector<std::uintptr_t> bases;  // of plane 0 of each layer
  accel::CacheMemory memory;
  numeric::Kind kind = numeric::Kind::F32;
  std::int64_t slots = 0, heads = 0, head_dim = 0, head_stride = 0;
  std::int64_t inner = 1, stride = 0, outer_stride = 0;  // as in Channels
  accel_kv_paging paging{};
  std::int64_t span = 0;  // from a layer's base to the end of its last token
};

std::unique_ptr<KeyCache> make_key_cache(const kv::Addresses& bases, const kv::Addresses& tensors,
                                         const std::string& dtype,
                                         const std::vector<std::int64_t>& shape,
                                         const std::vector<std::int64_t>& strides,
                                         std::int64_t span);

// `apart`: that keys overlap neither themselves nor the other tensors is known already.
bool read_tensor_call(const Rotation& rotation, PyObject* keys, PyObject* old_positions,
                      PyObject* new_positions, PyObject* table, bool apart, Work* work);
bool read_cache_call(const Rotation& rotation, const KeyCache& cache, PyObject* old_positions,
                     PyObject* new_positions, PyObject* table, PyObject* slots, PyObject* layer,
                     bool apart, Work* work);

}  // namespace accel_cpu::rope
