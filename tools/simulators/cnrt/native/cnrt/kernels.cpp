// Kernels: functions of host shared objects that were compiled through accel_sim_cnrt/bang, whose
// stand-in runs them on the queue's thread.
#include <dlfcn.h>

#include <atomic>
#include <string>
#include <vector>

#include "../../src/accel_sim_cnrt/bang/shim/launch.h"
#include "accel_sim/kernel_runs.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/streams.hpp"
#include "api.hpp"
#include "queues.hpp"

using namespace cnrt;

namespace {

using Pack = decltype(&accel_bang_pack);

struct Found {
  void* library;  // stays loaded: kernels of it may be under way
  std::string name;
  Pack pack;
};

Found find(const void* kernel) {
  Dl_info where = {};
  if (dladdr(kernel, &where) == 0 || where.dli_fname == nullptr) {
    throw Failure(cnrtErrorInvalidKernel, "no function is there");
  }
  void* const library = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  const auto pack = library == nullptr
                        ? nullptr
                        : reinterpret_cast<Pack>(dlsym(library, "accel_bang_pack"));
  if (pack == nullptr || !accel_sim::has_kernel_runner(library)) {
    throw Failure(cnrtErrorNoKernel, std::string("a function of ") + where.dli_fname +
                                         ", which was not compiled for the simulator");
  }
  return {library, where.dli_sname == nullptr ? "a kernel" : where.dli_sname, pack};
}

// How many cores a launch of this type takes at once.
std::uint32_t together(cnrtFunctionType_t type) {
  switch (type) {
    case cnrtFuncTypeBlock: return 1;
    case cnrtFuncTypeUnion1:
    case cnrtFuncTypeUnion2:
    case cnrtFuncTypeUnion4:
    case cnrtFuncTypeUnion8:
    case cnrtFuncTypeUnion16: return static_cast<std::uint32_t>(type);
  }
  throw Failure(Kind::invalid_argument, "no function type " + std::to_string(type));
}

}  // namespace

ACCEL_SIM_EXPORT cnrtRet_t cnrtInvokeKernel(const void* kernel, cnrtDim3_t dim,
                                            cnrtFunctionType_t type, void** arguments, size_t,
                                            cnrtQueue_t queue) {
  return guarded(__func__, [&] {
    require_outside_host_function("cnrtInvokeKernel");
    if (kernel == nullptr) throw Failure(Kind::null_pointer, "kernel is a null pointer");
    const std::uint64_t tasks = std::uint64_t{dim.x} * dim.y * dim.z;
    if (tasks == 0 || tasks > UINT32_MAX) {
      throw Failure(Kind::invalid_argument, "a launch of " + std::to_string(tasks) + " tasks");
    }
    const std::uint32_t cores = together(type);
    if (cores > static_cast<std::uint32_t>(pose().clusters * pose().cores)) {
      throw Failure(Kind::not_supported, "more clusters than this chip has");
    }
    if (dim.x % cores != 0) {
      throw Failure(Kind::invalid_argument, "dim.x is " + std::to_string(dim.x) +
                                                ", no multiple of the " + std::to_string(cores) +
                                                " cores that the function type takes");
    }
    const Found found = find(kernel);
    const std::uint32_t dims[] = {dim.x, dim.y, dim.z};
    const std::size_t size = found.pack(kernel, dims, arguments, nullptr, 0);
    if (size == 0) throw Failure(cnrtErrorNoKernel, "the kernel was never registered");
    std::vector<std::uint64_t> words(size);
    found.pack(kernel, dims, arguments, words.data(), size);
    static std::atomic<std::uint64_t> count{0};
    accel_kernel_launch launch = {};
    launch.kernel = kernel;
    launch.cores = static_cast<std::uint32_t>(tasks);
    launch.cluster = type == cnrtFuncTypeBlock ? 1 : static_cast<std::uint32_t>(pose().cores);
    launch.local_bytes = static_cast<std::uint32_t>(pose().nram_bytes);
    launch.seed = accel_sim::modes().seed * 1000003u + ++count;
    const auto run = [found, launch, words = std::move(words)] {
      accel_kernel_launch now = launch;
      now.args = words.data();
      now.words = words.size();
      accel_sim::run_kernel(found.library, found.name, now, {});
    };
    accel_sim::submit(queue_of(queue), {found.name, run});
  });
}
