// How the plugin launches: by the host function of the kernel's source, whose call of
// cnrtInvokeKernel ends here.
#include <copy_harness.hpp>

#include <cstdio>

#include "bang.h"
#include "copy_launch.h"
#include "shim/launch.h"

extern "C" int accel_kv_copy_launch(void* queue, unsigned int tasks, const void* arguments,
                                    unsigned long long bytes);

const accel::KvCopyLimits harness_limits = {1, ACCEL_MLU_ARGS_BYTES};

extern "C" int cnrtInvokeKernel(const void* kernel, cnrtDim3_t dim, cnrtFunctionType_t type,
                                void** arguments, std::size_t, cnrtQueue_t queue) {
  auto& context = *static_cast<HarnessContext*>(queue);  // the queue is ours to choose
  const std::uint32_t tasks[] = {dim.x, dim.y, dim.z};
  std::vector<std::uint64_t> words(accel_bang_pack(kernel, tasks, arguments, nullptr, 0));
  accel_bang_pack(kernel, tasks, arguments, words.data(), words.size());
  context.launch.kernel = kernel;
  context.launch.args = words.data();
  context.launch.words = words.size();
  context.launch.cores = dim.x * dim.y * dim.z;
  context.launch.cluster = type == cnrtFuncTypeBlock ? 1 : 4;
  return run_here(context);
}

int launch_copy(HarnessContext& context, std::uint32_t cores,
                const std::vector<std::uint8_t>& arguments) {
  return accel_kv_copy_launch(&context, cores, arguments.data(), arguments.size());
}
