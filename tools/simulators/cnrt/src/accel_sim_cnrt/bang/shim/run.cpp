// Runs a kernel on all its cores: compiled into every shared object of kernels.
#include <algorithm>
#include <exception>
#include <thread>

#include "../bang.h"
#include "accel_sim/kernels/frame.hpp"

namespace accel_bang {
namespace {

Signature signature_of(const void* kernel) {
  std::lock_guard<std::mutex> lock(signatures().mutex);
  const auto found = signatures().all.find(kernel);
  return found == signatures().all.end() ? Signature{} : found->second;
}

void check_memories(const accel_kernel_launch& launch) {
  const auto nram = static_cast<std::uint64_t>(__stop_accel_nram - __start_accel_nram);
  const std::uint64_t room = launch.local_bytes - std::min(launch.local_bytes, kStackBytes);
  if (nram > room) {
    broken("%llu bytes of __nram__, of the %llu that %u bytes of NRAM leave beside the stack's %u",
           static_cast<unsigned long long>(nram), static_cast<unsigned long long>(room),
           launch.local_bytes, kStackBytes);
  }
  const auto sram = static_cast<std::uint64_t>(__stop_accel_sram - __start_accel_sram);
  if (sram > kSharedBytes) {
    broken("%llu bytes of __mlu_shared__, of %llu", static_cast<unsigned long long>(sram),
           static_cast<unsigned long long>(kSharedBytes));
  }
}

// A core's part; throws Broken.
void run_core(const accel_kernel_launch& launch, const Signature& signature, Core& mine) {
  struct Current {
    explicit Current(Core* core) { Core::current() = core; }
    ~Current() { Core::current() = nullptr; }
  } current(&mine);
  try {
    signature.call(launch.kernel, launch.args + ACCEL_BANG_DIM_WORDS);
    if (!mine.under_way.empty()) {
      broken("asynchronous copies are under way when the kernel ends: no __sync_io or __sync "
             "awaits them");
    }
  } catch (const accel_kernels::Broken& error) {
    mine.under_way.clear();
    broken("task %u: %s", mine.index, error.what());
  }
}

void run_cluster(const accel_kernel_launch& launch, const Signature& signature,
                 std::uint32_t first, std::uint32_t count, GlobalMemory& memory) {
  GlobalMemory shared(launch);
  std::fill(__start_accel_nram, __stop_accel_nram, kPoison);
  std::fill(__start_accel_sram, __stop_accel_sram, kPoison);
  std::vector<Core> cores(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Core& core = cores[i];
    core.index = first + i;
    core.count = launch.cores;
    core.cluster_cores = count;
    for (int d = 0; d < 3; ++d) core.dim[d] = static_cast<std::uint32_t>(launch.args[d]);
    core.random.seed(launch.seed * 2654435761u + core.index);
    core.memory = &memory;
    core.shared = &shared;
  }
  if (count == 1) {
    run_core(launch, signature, cores[0]);
    return;
  }
  Meeting meeting(count, launch.seed + first);
  std::vector<std::exception_ptr> failed(count);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < count; ++i) {
    cores[i].meeting = &meeting;
    threads.emplace_back([&, i] {
      meeting.begin(i);
      try {
        run_core(launch, signature, cores[i]);
      } catch (...) {
        failed[i] = std::current_exception();
      }
      meeting.end(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : failed) {
    if (error) std::rethrow_exception(error);
  }
  shared.check_races(1);
}

}  // namespace
}  // namespace accel_bang

void accel_kernels::run(const accel_kernel_launch& launch) {
  // NRAM is one for the whole shared object.
  static std::mutex one_at_a_time;
  std::lock_guard<std::mutex> lock(one_at_a_time);
  const accel_bang::Signature signature = accel_bang::signature_of(launch.kernel);
  if (signature.call == nullptr) broken("no kernel of this shared object was launched so");
  if (launch.words < ACCEL_BANG_DIM_WORDS ||
      launch.args[0] * launch.args[1] * launch.args[2] != launch.cores) {
    broken("dimensions that are not those of %u tasks", launch.cores);
  }
  accel_bang::check_memories(launch);
  run_clusters(launch, 1, [&](std::uint32_t first, std::uint32_t count, GlobalMemory& memory) {
    accel_bang::run_cluster(launch, signature, first, count, memory);
  });
}

ACCEL_KERNEL_EXPORT std::size_t accel_bang_pack(const void* kernel, const std::uint32_t dim[3],
                                                void* const* arguments, std::uint64_t* words,
                                                std::size_t room) {
  const accel_bang::Signature signature = accel_bang::signature_of(kernel);
  if (signature.call == nullptr) return 0;
  std::size_t taken = ACCEL_BANG_DIM_WORDS;
  for (const std::size_t bytes : signature.sizes) taken += accel_bang::words_of(bytes);
  if (room < taken) return taken;
  std::copy_n(dim, ACCEL_BANG_DIM_WORDS, words);
  std::size_t at = ACCEL_BANG_DIM_WORDS;
  for (std::size_t i = 0; i < signature.sizes.size(); ++i) {
    std::memcpy(words + at, arguments[i], signature.sizes[i]);
    at += accel_bang::words_of(signature.sizes[i]);
  }
  return taken;
}
