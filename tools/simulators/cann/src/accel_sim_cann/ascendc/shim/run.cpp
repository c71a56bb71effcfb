// Runs a kernel on all its cores: compiled into every shared object of kernels.
#include <algorithm>

#include "../kernel_operator.h"
#include "accel_sim/kernels/frame.hpp"

namespace accel_ascendc {
namespace {

using Entry = void (*)(std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                       std::uint64_t);
constexpr std::size_t kMostArguments = 6;  // they travel in registers: an entry may ignore some

void run_core(const accel_kernel_launch& launch, std::uint32_t index, GlobalMemory& memory) {
  Core mine(index, launch.cores, launch.local_bytes, launch.seed, memory);
  struct Current {
    explicit Current(Core* core) { Core::current() = core; }
    ~Current() { Core::current() = nullptr; }
  } current(&mine);
  std::uint64_t a[kMostArguments] = {};
  std::copy_n(launch.args, std::min(launch.words, kMostArguments), a);
  reinterpret_cast<Entry>(const_cast<void*>(launch.kernel))(a[0], a[1], a[2], a[3], a[4], a[5]);
  detail::drain(mine);
  for (const auto& buffer : mine.buffers) {
    if (buffer->state == Buffer::State::Free || buffer->state == Buffer::State::Always) continue;
    broken("a tensor of a queue is not freed when the kernel ends");
  }
}

}  // namespace
}  // namespace accel_ascendc

void accel_kernels::run(const accel_kernel_launch& launch) {
  using accel_ascendc::kMostArguments;
  if (launch.words > kMostArguments) broken("more than %zu kernel arguments", kMostArguments);
  run_clusters(launch, accel_ascendc::kUnit,
               [&](std::uint32_t index, std::uint32_t, GlobalMemory& memory) {
                 try {
                   accel_ascendc::run_core(launch, index, memory);
                 } catch (const Broken& error) {
                   broken("core %u: %s", index, error.what());
                 }
               });
}
