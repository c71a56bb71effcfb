// For libraries that link torch: its CPU kernels as the bodies of a stream's tasks. The core itself
// links no torch, so all of this is inline.
#pragma once

#include <cstdint>
#include <functional>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <dlfcn.h>

#include "accel_sim/failure.hpp"
#include "accel_sim/memory.hpp"

namespace accel_sim {

// Bytes from the first to one past the last element of a tensor; strides are never negative here.
inline std::uint64_t spanned_bytes(at::IntArrayRef sizes, at::IntArrayRef strides,
                                   std::uint64_t itemsize) {
  std::int64_t last = 0;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 0) return 0;
    last += (sizes[d] - 1) * strides[d];
  }
  return static_cast<std::uint64_t>(last + 1) * itemsize;
}

// A CPU tensor over the host alias of device memory, whose first element `data` is.
inline at::Tensor host_tensor(const void* data, at::IntArrayRef sizes, at::IntArrayRef strides,
                              at::ScalarType dtype) {
  const auto bytes = spanned_bytes(sizes, strides, c10::elementSize(dtype));
  if (bytes == 0) return at::empty_strided(sizes, strides, dtype);
  return at::from_blob(host_of(data, bytes), sizes, strides, at::TensorOptions().dtype(dtype));
}

// A generator of its own for each pair: the two numbers are mixed so that neighbours share nothing.
inline at::Generator host_generator(std::uint64_t seed, std::uint64_t offset) {
  std::uint64_t state = seed + 0x9e3779b97f4a7c15ull * (offset + 1);
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
  return at::detail::createCPUGenerator(state ^ (state >> 31));
}

// A stream's thread computes alone: with one OpenMP team for each stream the machine would be
// oversubscribed. torch links its own OpenMP runtime, so the function is taken from there; it
// concerns the calling thread only.
inline void compute_alone() {
  static thread_local bool done = false;
  if (done) return;
  done = true;
  at::get_num_threads();  // torch's own initialisation of this thread comes first
  static const auto set_threads = reinterpret_cast<void (*)(int)>([]() -> void* {
    void* torch = dlopen("libtorch_cpu.so", RTLD_NOW | RTLD_NOLOAD);
    return torch != nullptr ? dlsym(torch, "omp_set_num_threads") : nullptr;
  }());
  if (set_threads != nullptr) set_threads(1);
}

// Runs a body on the calling thread, which is a stream's: without autograd and on one core. What it
// throws becomes the stream's error.
inline void run_kernels(const std::function<void()>& body) {
  compute_alone();
  const c10::InferenceMode no_autograd;
  try {
    body();
  } catch (const c10::Error& error) {
    throw Failure(Kind::task_failed, error.what_without_backtrace());
  }
}

}  // namespace accel_sim
