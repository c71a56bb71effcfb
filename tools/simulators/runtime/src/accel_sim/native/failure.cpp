#include "accel_sim/failure.hpp"

#include <new>

#include "accel_sim/vendor.hpp"

namespace accel_sim {
namespace {

Vendor& vendor_slot() {
  static Vendor slot;
  return slot;
}

int code_of(Kind kind) {
  const Vendor& known = vendor_slot();
  return known.code_of ? known.code_of(kind) : 1 + static_cast<int>(kind);
}

Error& recent_slot() {
  thread_local Error error;
  return error;
}

}  // namespace

Failure::Failure(Kind kind, const std::string& text)
    : std::runtime_error(text), kind_(kind), code_(accel_sim::code_of(kind)) {}

Failure::Failure(int code, const std::string& text)
    : std::runtime_error(text), kind_(Kind::internal), code_(code) {}

Failure::~Failure() = default;

Error current_error() {
  try {
    throw;
  } catch (const Failure& failure) {
    return {failure.code(), failure.what()};
  } catch (const std::bad_alloc&) {
    return {code_of(Kind::internal), "the simulator's host memory is exhausted"};
  } catch (const std::exception& exception) {
    return {code_of(Kind::task_failed), exception.what()};
  } catch (...) {
    return {code_of(Kind::internal), "an exception of unknown type"};
  }
}

const std::string& recent_error_text() { return recent_slot().text; }

void set_recent_error(const Error& error) { recent_slot() = error; }

int recent_error_code(bool clear) {
  const int code = recent_slot().code;
  if (clear) recent_slot().code = 0;
  return code;
}

void register_vendor(const Vendor& vendor) { vendor_slot() = vendor; }

const Vendor& vendor() { return vendor_slot(); }

}  // namespace accel_sim
