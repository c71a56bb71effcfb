// What a program describes to the older operator interface (aclop): tensors, buffers, attributes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "accel_sim_cann/aclop.hpp"

struct aclTensorDesc {
  int data_type = -1;
  int format = -1;
  std::vector<std::int64_t> shape;
  int storage_format = -1;                  // -1: not set
  std::vector<std::int64_t> storage_shape;
  std::string name;
  int placement = 0;                        // 0 device, 1 host, 2 host and known when compiled
  std::vector<std::uint8_t> constant;       // a value known when compiled
};

struct aclDataBuffer {
  void* data = nullptr;
  std::size_t bytes = 0;
};

struct aclopAttr {
  accel_sim_cann::AclopAttributes values;
};
