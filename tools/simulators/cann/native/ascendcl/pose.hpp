// Which release of CANN and which chip this library claims to be.
#pragma once

#include <cstdint>
#include <string>

namespace ascendcl {

struct Pose {
  int version = 805;        // 800, 803, 805
  std::string release;      // "8.5.0", as the version functions answer
  std::string driver;       // "25.5.0"
  std::string soc;          // "Ascend910B1"
  std::int64_t ai_cores = 0;
  std::int64_t vector_cores = 0;
  std::int64_t l2_bytes = 0;
  bool is_910b() const { return ai_cores == 24; }
};

const Pose& pose();

// Throws not_supported unless the posed release is at least `version`.
void require_release(int version, const char* name);

}  // namespace ascendcl
