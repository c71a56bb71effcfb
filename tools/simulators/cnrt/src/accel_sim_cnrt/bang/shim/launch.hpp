// Launching a kernel from the host function beside it: through cnrtInvokeKernel, which the runner
// (the simulator's libcnrt, or a test) defines.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "launch.h"

struct cnrtDim3_t {
  unsigned int x, y, z;
};
enum cnrtFunctionType_t : unsigned int {
  cnrtFuncTypeBlock = 1,
  cnrtFuncTypeUnion1 = 4,
  cnrtFuncTypeUnion2 = 8,
  cnrtFuncTypeUnion4 = 16
};
using cnrtQueue_t = void*;
extern "C" int cnrtInvokeKernel(const void* kernel, cnrtDim3_t dim, cnrtFunctionType_t type,
                                void** arguments, std::size_t reserved, cnrtQueue_t queue)
    __attribute__((weak));

namespace accel_bang {

// How a kernel is called with parameters that lie one after another, each in whole words.
struct Signature {
  std::vector<std::size_t> sizes;
  void (*call)(const void* kernel, const std::uint64_t* words) = nullptr;
};

struct Signatures {
  std::mutex mutex;
  std::map<const void*, Signature> all;
};
inline Signatures& signatures() {
  static Signatures* const one = new Signatures;
  return *one;
}

inline std::size_t words_of(std::size_t bytes) { return (bytes + 7) / 8; }

template <class... Parameters, std::size_t... at>
void call_with(void (*kernel)(Parameters...), const std::uint64_t* words,
               std::index_sequence<at...>) {
  const std::size_t sizes[] = {words_of(sizeof(Parameters))..., 0};
  std::size_t begin[sizeof...(Parameters) + 1] = {};
  for (std::size_t i = 0; i < sizeof...(Parameters); ++i) begin[i + 1] = begin[i] + sizes[i];
  std::tuple<Parameters...> values;
  (std::memcpy(&std::get<at>(values), words + begin[at], sizeof(Parameters)), ...);
  kernel(std::get<at>(values)...);
}

// kernel<<<dim, type, queue>>>(parameters...); CNRT's code.
template <class... Parameters>
int launch(void (*kernel)(Parameters...), cnrtDim3_t dim, cnrtFunctionType_t type,
           cnrtQueue_t queue, Parameters... parameters) {
  const void* const key = reinterpret_cast<const void*>(kernel);
  {
    std::lock_guard<std::mutex> lock(signatures().mutex);
    Signature& signature = signatures().all[key];
    signature.sizes = {sizeof(Parameters)...};
    signature.call = [](const void* called, const std::uint64_t* words) {
      call_with(reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(called)), words,
                std::index_sequence_for<Parameters...>());
    };
  }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Waddress"  // where the runner is in this shared object
  if (cnrtInvokeKernel == nullptr) return 101312;  // no kernel was registered
#pragma GCC diagnostic pop
  void* arguments[] = {&parameters..., nullptr};
  return cnrtInvokeKernel(key, dim, type, arguments, 0, queue);
}

}  // namespace accel_bang
