#include "exports.hpp"

#include <string>

#include "accel_sim/failure.hpp"

namespace accel_hccl {

HcclResult result_of_fault(int code) {
  return code >= 1 && code <= 24 ? static_cast<HcclResult>(code) : HCCL_E_RUNTIME;
}

HcclResult result_of_exception(const char* name) {
  try {
    throw;
  } catch (const HcclFailure& failure) {
    std::string text = failure.what();
    if (text.rfind(name, 0) != 0) text = std::string(name) + ": " + text;
    accel_sim::set_recent_error({failure.code, text});
    return failure.code;
  } catch (const accel_sim::Failure& failure) {
    accel_sim::set_recent_error({failure.code(), std::string(name) + ": " + failure.what()});
    switch (failure.kind()) {
      case accel_sim::Kind::invalid_argument:
      case accel_sim::Kind::invalid_handle:
      case accel_sim::Kind::wrong_device:
      case accel_sim::Kind::unaligned: return HCCL_E_PARA;
      case accel_sim::Kind::not_supported:
      case accel_sim::Kind::not_simulated: return HCCL_E_NOT_SUPPORT;
      case accel_sim::Kind::out_of_memory: return HCCL_E_OOM;
      default: return HCCL_E_RUNTIME;
    }
  } catch (const std::exception& failure) {
    accel_sim::set_recent_error({HCCL_E_INTERNAL, std::string(name) + ": " + failure.what()});
    return HCCL_E_INTERNAL;
  } catch (...) {
    return HCCL_E_INTERNAL;
  }
}

const char* result_name(HcclResult code) {
  switch (code) {
    case HCCL_SUCCESS: return "no error";
    case HCCL_E_PARA: return "parameter error";
    case HCCL_E_PTR: return "empty pointer";
    case HCCL_E_MEMORY: return "memory error";
    case HCCL_E_INTERNAL: return "internal error";
    case HCCL_E_NOT_SUPPORT: return "feature not supported";
    case HCCL_E_NOT_FOUND: return "resource not found";
    case HCCL_E_UNAVAIL: return "resource unavailable";
    case HCCL_E_SYSCALL: return "system call error";
    case HCCL_E_TIMEOUT: return "timeout";
    case HCCL_E_OPEN_FILE_FAILURE: return "file cannot be opened";
    case HCCL_E_TCP_CONNECT: return "connection failed";
    case HCCL_E_TCP_TRANSFER: return "transfer failed";
    case HCCL_E_RUNTIME: return "runtime call failed";
    case HCCL_E_REMOTE: return "remote rank failed";
    case HCCL_E_SUSPENDING: return "communicator suspending";
    case HCCL_E_OOM: return "out of memory";
  }
  return "unknown error code";
}

}  // namespace accel_hccl
