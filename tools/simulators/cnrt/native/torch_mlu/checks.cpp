#include "checks.hpp"

#include <accel_sim/failure.hpp>
#include <c10/util/Exception.h>

namespace torch_mlu {

void check(cnrtRet_t code, const char* function) {
  if (code == cnrtSuccess) return;
  const std::string said = accel_sim::recent_error_text();
  const char* plain = cnrtGetErrorStr(code);
  TORCH_CHECK(false, "CNRT error ", code, " from ", function, " (",
              plain != nullptr ? plain : "unknown", ")", said.empty() ? "" : ": ", said);
}

}  // namespace torch_mlu
