#include "accel_sim/call.hpp"

#include <string>

#include "accel_sim/devices.hpp"
#include "accel_sim/modes.hpp"
#include "accel_sim/trace.hpp"
#include "planned_failure.hpp"

namespace accel_sim {
namespace {

thread_local Error pending;

}  // namespace

Error take_planned_failure() {
  Error error = std::move(pending);
  pending = Error();
  return error;
}

int before_call(const char* name) {
  count_call(name);
  pending = Error();
  if (forked_after_use()) {
    const Failure failure(Kind::forked,
                          std::string(name) + ": this process was forked from one that had used "
                          "the device; start it with the spawn method instead");
    set_recent_error({failure.code(), failure.what()});
    return failure.code();
  }
  const Fault* planned = fault(name);
  if (!planned) return 0;
  const Failure natural(Kind::task_failed, std::string(name) + ": a planned fault (call " +
                                               std::to_string(planned->nth) + ")");
  const Error error{planned->code ? planned->code : natural.code(), natural.what()};
  if (planned->on_stream) {
    pending = error;
    return 0;
  }
  set_recent_error(error);
  return error.code;
}

int failed_call(const char* name) {
  Error error = current_error();
  const std::string prefix = std::string(name) + ": ";
  if (error.text.compare(0, prefix.size(), prefix) != 0) error.text = prefix + error.text;
  set_recent_error(error);
  return error.code;
}

}  // namespace accel_sim
