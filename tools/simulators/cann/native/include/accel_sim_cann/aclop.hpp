// The seam between the older operator path's C functions (aclopCompileAndExecute and the makers of its
// descriptors, in libascendcl) and the operators themselves (in libopapi, which links torch).
//
// libascendcl fills an AclopCall from its own objects, opens libopapi.so at run time, looks up
// accel_sim_aclop and calls it; it returns what that returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace accel_sim_cann {

// A contiguous tensor: the descriptor and the data buffer of one input or output. An absent optional
// input has data == nullptr.
struct AclopTensor {
  std::int32_t type = -1;            // aclDataType
  std::vector<std::int64_t> sizes;
  void* data = nullptr;
  std::size_t bytes = 0;             // of the data buffer
  bool on_host = false;              // aclSetTensorPlaceMent: the bytes are read before the call returns
};

struct AclopAttributes {
  std::map<std::string, std::int64_t> integers;  // also bool and data type attributes
  std::map<std::string, double> reals;
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<std::int64_t>> integer_lists;  // also bool lists
  std::map<std::string, std::vector<float>> real_lists;
  std::map<std::string, std::vector<std::vector<std::int64_t>>> nested_lists;
};

struct AclopCall {
  std::string type;  // "Identity"
  std::vector<AclopTensor> inputs;
  std::vector<AclopTensor> outputs;
  AclopAttributes attributes;
};

}  // namespace accel_sim_cann

// Puts the operator on the stream. Fails at once, poisoning nothing, when it is not simulated.
extern "C" __attribute__((visibility("default"))) int accel_sim_aclop(
    const accel_sim_cann::AclopCall& call, void* stream);
