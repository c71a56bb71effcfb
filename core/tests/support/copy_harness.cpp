// A transfer as a plugin would launch it, run by a vendor's stand-in: core's packing of arguments, the
// kernel, and memory regions for caches. Called by copy_harness.py; `launch_copy` is the vendor's.
#include "copy_harness.hpp"

#include <cstdio>
#include <exception>

using accel::KvCopyCall;
using accel::KvCopyPlan;
using accel::KvIndexArgument;

int run_here(HarnessContext& context) {
  accel_kernel_regions all = {context.regions.data(), context.regions.size()};
  context.launch.translate = &accel_kernel_in_regions;
  context.launch.context = &all;
  return accel_kernel_run(&context.launch, context.text, context.room);
}

#define EXPORTED extern "C" __attribute__((visibility("default")))

struct HarnessList {
  std::int32_t where;  // 0 counted, 1 host, 2 device
  std::int32_t wide;
  std::uint64_t data;
  std::int64_t stride;
};

struct HarnessCopy {
  std::int64_t layers, planes;
  const accel_kv_plane* plane;
  const std::uint64_t *src, *dst;
  std::int64_t src_units, dst_units;
  HarnessList src_list, dst_list;
  std::int64_t units;
  std::uint64_t fault, count;
  std::int64_t cores;
  std::uint64_t seed;
  std::uint32_t local_bytes;
  // Out: launches made, the most cores of one, and the plan's own word on cores.
  std::int32_t launches, most_cores, one_core;
};

EXPORTED int harness_copy(HarnessCopy* copy, const accel_kernel_region* regions, std::size_t count,
                          char* text, std::size_t room) {
  try {
    const auto bases = static_cast<std::size_t>(copy->layers * copy->planes);
    const KvCopyPlan plan(copy->layers, {copy->plane, copy->plane + copy->planes},
                        {copy->src, copy->src + bases}, {copy->dst, copy->dst + bases},
                        copy->src_units, copy->dst_units, harness_limits);
    KvCopyCall call;
    call.units = copy->units;
    call.fault = copy->fault;
    call.fault_kind = 1;
    call.count = copy->count;
    call.cores = copy->cores;
    const HarnessList* const given[] = {&copy->src_list, &copy->dst_list};
    KvIndexArgument* const lists[] = {&call.src, &call.dst};
    for (int i = 0; i < 2; ++i) {
      lists[i]->where = static_cast<KvIndexArgument::Where>(given[i]->where);
      lists[i]->data = given[i]->data;
      lists[i]->stride = given[i]->stride;
      lists[i]->wide = given[i]->wide != 0;
      lists[i]->argument = i + 1;
    }
    copy->one_core = plan.one_core() ? 1 : 0;
    int failed = 0;
    plan.pack(call, [&](std::uint32_t cores, const std::vector<std::uint8_t>& args) {
      if (failed != 0) return;
      ++copy->launches;
      if (static_cast<int>(cores) > copy->most_cores) copy->most_cores = static_cast<int>(cores);
      HarnessContext context = {{}, {regions, regions + count}, text, room};
      context.launch.cores = cores;
      context.launch.local_bytes = copy->local_bytes;
      context.launch.seed = copy->seed;
      failed = launch_copy(context, cores, args);
    });
    return failed;
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return 2;
  }
}
