// A transfer as the plugin would launch it, run by the stand-in of AscendC: the plugin's packing of
// arguments, the kernel, and memory regions for caches. Called by harness.py.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "native/launch/copy_plan.hpp"
#include "shim/run.h"

extern "C" void accel_kv_copy(std::uint8_t* args);

namespace {

using accel_ascend::launch::CopyCall;
using accel_ascend::launch::CopyPlan;
using accel_ascend::launch::IndexArgument;

constexpr std::uint64_t kArguments = std::uint64_t{1} << 44;  // where the arguments seem to lie

}  // namespace

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
  std::uint32_t unified_bytes;
  // Out: launches made, the most cores of one, and the plan's own word on cores.
  std::int32_t launches, most_cores, one_core;
};

EXPORTED int harness_copy(HarnessCopy* copy, const accel_ascendc_region* regions, std::size_t count,
                          char* text, std::size_t room) {
  try {
    const auto bases = static_cast<std::size_t>(copy->layers * copy->planes);
    const CopyPlan plan(copy->layers, {copy->plane, copy->plane + copy->planes},
                        {copy->src, copy->src + bases}, {copy->dst, copy->dst + bases},
                        copy->src_units, copy->dst_units);
    CopyCall call;
    call.units = copy->units;
    call.fault = copy->fault;
    call.fault_kind = 1;
    call.count = copy->count;
    call.cores = copy->cores;
    const HarnessList* const given[] = {&copy->src_list, &copy->dst_list};
    IndexArgument* const lists[] = {&call.src, &call.dst};
    for (int i = 0; i < 2; ++i) {
      lists[i]->where = static_cast<IndexArgument::Where>(given[i]->where);
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
      std::vector<std::uint8_t> own(args);
      std::vector<accel_ascendc_region> all(regions, regions + count);
      all.push_back({kArguments, own.size(), own.data(), 0});
      accel_ascendc_regions context = {all.data(), all.size()};
      const std::uint64_t argument = kArguments;
      accel_ascendc_launch launch = {};
      launch.kernel = reinterpret_cast<void*>(&accel_kv_copy);
      launch.args = &argument;
      launch.count = 1;
      launch.blocks = cores;
      launch.unified_bytes = copy->unified_bytes;
      launch.seed = copy->seed;
      launch.translate = &accel_ascendc_in_regions;
      launch.context = &context;
      failed = accel_ascendc_run(&launch, text, room);
    });
    return failed;
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
    return 2;
  }
}
