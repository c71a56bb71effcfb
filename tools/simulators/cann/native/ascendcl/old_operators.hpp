// The older operator interface (aclop): descriptions of tensors, attributes, and who runs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct aclTensorDesc {
  int data_type = -1;
  int format = -1;
  std::vector<std::int64_t> shape;
  int storage_format = -1;                  // -1: not set
  std::vector<std::int64_t> storage_shape;
  std::string name;
  int placement = 0;                        // 0 device, 1 host, 2 host and known when compiled
  std::vector<std::uint8_t> constant;
};

struct aclDataBuffer {
  void* data = nullptr;
  std::size_t bytes = 0;
};

struct aclopAttr {
  std::map<std::string, std::int64_t> integers;           // also booleans and data types
  std::map<std::string, double> floats;
  std::map<std::string, std::string> strings;
  std::map<std::string, std::vector<std::int64_t>> integer_lists;
  std::map<std::string, std::vector<double>> float_lists;
  std::map<std::string, std::vector<std::vector<std::int64_t>>> integer_list_lists;
};

namespace ascendcl {

struct OldOperator {
  const char* type = nullptr;                             // "Identity"
  std::vector<const aclTensorDesc*> input_descriptions;   // alive during the call only, as all here
  std::vector<const aclDataBuffer*> inputs;
  std::vector<aclTensorDesc*> output_descriptions;        // the runner may set their shapes
  std::vector<aclDataBuffer*> outputs;
  const aclopAttr* attributes = nullptr;                  // may be null
  void* stream = nullptr;
};

// Puts the operator on the stream. Throws accel_sim::Failure, not_simulated for a type it lacks.
using OldOperatorRunner = void (*)(const OldOperator& call);

}  // namespace ascendcl

// libopapi calls this when it is loaded; without it every aclop fails as not simulated.
extern "C" void accel_simulator_set_old_operator_runner(ascendcl::OldOperatorRunner runner);
