#include "accel_sim/ranks/call.hpp"

#include <string>

#include "accel_sim/failure.hpp"
#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

Problem problem_of(accel_sim::Kind kind) {
  switch (kind) {
    case accel_sim::Kind::invalid_argument:
    case accel_sim::Kind::invalid_handle:
    case accel_sim::Kind::invalid_device:
    case accel_sim::Kind::wrong_device:
    case accel_sim::Kind::unaligned: return Problem::argument;
    case accel_sim::Kind::null_pointer: return Problem::null_pointer;
    case accel_sim::Kind::not_supported:
    case accel_sim::Kind::not_simulated: return Problem::not_supported;
    case accel_sim::Kind::out_of_memory: return Problem::out_of_memory;
    default: return Problem::runtime;
  }
}

int keep(const char* name, int code, std::string text) {
  if (text.rfind(name, 0) != 0) text = std::string(name) + ": " + text;
  accel_sim::set_recent_error({code, text});
  return code;
}

}  // namespace

int planned_code(int code) { return vendor().code_of_fault(code); }

int failed_call(const char* name) {
  try {
    throw;
  } catch (const RankFailure& failure) {
    return keep(name, vendor().code_of(failure.problem), failure.what());
  } catch (const accel_sim::Failure& failure) {
    const int code = vendor().code_of(problem_of(failure.kind()));
    keep(name, failure.code(), failure.what());  // the runtime's own number says more
    return code;
  } catch (const std::exception& failure) {
    return keep(name, vendor().code_of(Problem::internal), failure.what());
  } catch (...) {
    return vendor().code_of(Problem::internal);
  }
}

}  // namespace accel_ranks
