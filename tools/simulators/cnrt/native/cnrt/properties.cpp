// Attributes and properties of a device, from one table. Clocks and widths that nobody should compute
// with are 0.
#include <cstdio>
#include <cstring>
#include <map>

#include "accel_sim/modes.hpp"
#include "api.hpp"
#include "devices.hpp"

using namespace cnrt;

namespace {

constexpr int kLimit = 65535;     // of a launch's dimensions
constexpr int kQueues = 1024;
constexpr int kNotifiers = 65536;

int memory_mib() { return static_cast<int>(accel_sim::modes().memory >> 20); }

int attribute_of(int attribute, int device) {
  const Pose& chip = pose();
  switch (attribute) {
    case cnrtAttrComputeCapabilityMajor: return chip.capability / 10;
    case cnrtAttrComputeCapabilityMinor: return chip.capability % 10;
    case cnrtAttrFP16ComputingSupported:
    case cnrtAttrINT8ComputingSupported: return 1;
    case cnrtAttrBF16ComputingSupported:
    case cnrtAttrTF32ComputingSupported: return chip.isa >= 592 ? 1 : 0;
    case cnrtAttrSparseComputingSupported:
    case cnrtAttrINT4ComputingSupported:
    case cnrtAttrComputeMode:
    case cnrtAttrEccEnable:
    case cnrtAttrPciDomainID: return 0;
    case cnrtAttrQueueSize: return kQueues;
    case cnrtAttrNotifierSize: return kNotifiers;
    case cnrtAttrSupportQueuePriorities:
    case cnrtAttrMultiCtxNotifierWaitSupported: return 1;
    case cnrtAttrIPCNotifierSupported: return chip.is_614 ? 1 : 0;
    case cnrtAttrMaxDimX:
    case cnrtAttrMaxDimY:
    case cnrtAttrMaxDimZ: return kLimit;
    case cnrtAttrMaxClusterCountPerUnionTask: return 8;
    case cnrtAttrClusterCount: return chip.clusters;
    case cnrtAttrMcorePerCluster: return chip.cores;
    case cnrtAttrISAVersion: return chip.isa;
    case cnrtAttrMaxL2CacheSize: return chip.l2_bytes;
    case cnrtAttrNramSizePerMcore: return chip.nram_bytes;
    case cnrtAttrWramSizePerMcore: return chip.wram_bytes;
    case cnrtAttrSramSizePerMcore: return chip.sram_bytes;
    case cnrtAttrGlobalMemoryNodeCount: return 1;
    case cnrtAttrAvailableGlobalMemorySize:
    case cnrtAttrTotalMemSize: return memory_mib();
    case cnrtAttrPciBusID: return static_cast<int>(bus_of(device));
    case cnrtAttrPciDeviceID: return 0;
    default:
      throw Failure(cnrtErrorNoAttribute, "attribute " + std::to_string(attribute) +
                                              " is not one that the simulator answers");
  }
}

void name_into(char (&name)[256]) {
  std::snprintf(name, sizeof name, "%s", pose().chip.c_str());
}

cnrtDeviceProp_614 properties_of(int device) {
  const auto of = [&](int attribute) { return attribute_of(attribute, device); };
  cnrtDeviceProp_614 all;
  std::memset(&all, 0, sizeof all);
  name_into(all.name);
  all.totalMem = memory_mib();
  for (int& dimension : all.maxDim) dimension = kLimit;
  all.major = of(cnrtAttrComputeCapabilityMajor);
  all.minor = of(cnrtAttrComputeCapabilityMinor);
  all.pciBusID = of(cnrtAttrPciBusID);
  all.maxL2CacheSize = of(cnrtAttrMaxL2CacheSize);
  all.queuePrioritiesSupported = of(cnrtAttrSupportQueuePriorities);
  all.FP16ComputingSupported = of(cnrtAttrFP16ComputingSupported);
  all.INT8ComputingSupported = of(cnrtAttrINT8ComputingSupported);
  all.BF16ComputingSupported = of(cnrtAttrBF16ComputingSupported);
  all.TF32ComputingSupported = of(cnrtAttrTF32ComputingSupported);
  all.maxQueueSize = of(cnrtAttrQueueSize);
  all.maxNotifierSize = of(cnrtAttrNotifierSize);
  all.maxClusterCountPerUnionTask = of(cnrtAttrMaxClusterCountPerUnionTask);
  all.clusterCount = of(cnrtAttrClusterCount);
  all.McorePerCluster = of(cnrtAttrMcorePerCluster);
  all.ISAVersion = of(cnrtAttrISAVersion);
  all.NramSizePerMcore = of(cnrtAttrNramSizePerMcore);
  all.WramSizePerMcore = of(cnrtAttrWramSizePerMcore);
  all.SramSizePerMcore = of(cnrtAttrSramSizePerMcore);
  all.globalMemoryNodeCount = of(cnrtAttrGlobalMemoryNodeCount);
  all.availableGlobalMemorySize = memory_mib();
  std::snprintf(all.uuid, sizeof all.uuid, "accel-sim-mlu%02u", (bus_of(device) - 1) % 100);
  all.totalGlobalMemSize = accel_sim::modes().memory;
  return all;
}

}  // namespace

ACCEL_SIM_EXPORT cnrtRet_t cnrtDeviceGetAttribute(int* value, int attribute, int device) {
  return guarded(__func__, [&] {
    accel_sim::device_at(device);
    required(value, "pValue") = attribute_of(attribute, device);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetDeviceProperties(cnrtDeviceProp_60* properties, int device) {
  return guarded(__func__, [&] {
    accel_sim::device_at(device);
    cnrtDeviceProp_60& out = required(properties, "prop");
    std::memset(&out, 0, sizeof out);
    name_into(out.name);
  });
}

ACCEL_SIM_EXPORT cnrtRet_t cnrtGetDeviceProperties_V3(cnrtDeviceProp_614* properties, int device) {
  return guarded(__func__, [&] {
    accel_sim::device_at(device);
    required(properties, "prop") = properties_of(device);
  });
}
