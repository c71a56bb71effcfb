// Launching operators, the names of those that are simulated, and what the others answer.
#include "core/operator.hpp"

#include <mutex>
#include <set>

#include <accel_sim/call.hpp>
#include <accel_sim/failure.hpp>
#include <accel_sim/memory.hpp>
#include <accel_sim/modes.hpp>
#include <accel_sim/streams.hpp>
#include <accel_sim/torch.hpp>

#include "core/not_simulated.hpp"

namespace accel_opapi {

namespace {

std::set<std::string>& names() {
  static std::set<std::string> all;
  return all;
}

// An operator reaches the memory of its own device only.
void refuse_other_devices(const char* name, const aclOpExecutor& executor,
                          const accel_sim::Stream& stream) {
  for (const void* address : executor.addresses) {
    if (address == nullptr) continue;
    const accel_sim::Where where = accel_sim::where_is(address);
    if (where.on_device() && where.device != stream.device().index()) {
      throw accel_sim::Failure(
          accel_sim::Kind::wrong_device,
          std::string(name) + ": a tensor lies on device " + std::to_string(where.device) +
              ", the stream belongs to device " + std::to_string(stream.device().index()));
    }
  }
}

// The names under which the calls are counted and planned faults are found.
const char* workspace_call(const char* name) {
  // Never destroyed: the trace, written at the process's end, names them.
  static auto* const calls = new std::set<std::string>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return calls->insert(std::string(name) + "GetWorkspaceSize").first->c_str();
}

}  // namespace

Registered::Registered(const char* name) { names().insert(name); }

int prepare(const char* name, aclOpExecutor* executor, std::uint64_t* workspace,
            aclOpExecutor** result) {
  std::unique_ptr<aclOpExecutor> owned(executor);
  owned->name = name;
  return accel_sim::guarded(workspace_call(name), [&] {
    if (workspace != nullptr) *workspace = 0;
    *result = owned.release();
  });
}

int prepare_failed(const char* name) noexcept {
  return accel_sim::failed_call(workspace_call(name));
}

int launch(const char* name, aclOpExecutor* executor, void* handle) noexcept {
  const bool once = executor != nullptr && !executor->repeatable;
  const int code = accel_sim::guarded(name, [&] {
    if (executor == nullptr) {
      throw accel_sim::Failure(accel_sim::Kind::invalid_argument,
                               std::string(name) + ": the executor is null");
    }
    accel_sim::Stream& stream = accel_sim::stream_of(handle);
    if (executor->waits && stream.capture() != nullptr) {
      throw accel_sim::Failure(accel_sim::Kind::capture,
                               std::string(name) +
                                   " waits for its result's shape: it cannot be "
                                   "captured into a graph");
    }
    if (accel_sim::modes().strict) refuse_other_devices(name, *executor, stream);
    auto body = executor->body;
    accel_sim::submit(stream, {name, [body] { accel_sim::run_kernels(body); }, executor->bytes});
    if (executor->waits) accel_sim::synchronize_stream(stream);
  });
  if (once) delete executor;
  return code;
}

int not_simulated(const char* name) noexcept {
  return accel_sim::guarded(workspace_call(name), [&] {
    throw accel_sim::Failure(kNotSimulated, std::string(name) + " is not simulated");
  });
}

}  // namespace accel_opapi

ACL_EXPORT int aclDestroyAclOpExecutor(aclOpExecutor* executor) { return delete executor, 0; }

ACL_EXPORT int aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  return executor->repeatable = true, 0;
}

// The library's own initialisation: there is nothing to prepare.
ACL_EXPORT int aclnnInit(const char*) { return 0; }
ACL_EXPORT int aclnnFinalize() { return 0; }

// The names of the operators that compute, one on each line.
ACL_EXPORT const char* accel_sim_operators() {
  static const std::string all = [] {
    std::string text;
    for (const std::string& name : accel_opapi::names()) text += name + "\n";
    return text;
  }();
  return all.c_str();
}
