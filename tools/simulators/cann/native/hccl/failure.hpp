// How a call of the simulated HCCL fails: a result code and a sentence that says what to change.
#pragma once

#include <stdexcept>
#include <string>

#include "abi.hpp"

namespace accel_hccl {

class HcclFailure : public std::runtime_error {
 public:
  HcclFailure(HcclResult code, const std::string& text) : std::runtime_error(text), code(code) {}
  HcclResult code;
};

/// The name of a result code, for HcclGetErrorString and messages.
const char* result_name(HcclResult code);

}  // namespace accel_hccl
