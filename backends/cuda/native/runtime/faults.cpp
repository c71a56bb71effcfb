#include "faults.hpp"

#include <accel/errors.hpp>

#include <algorithm>
#include <atomic>
#include <string>

#include "kv/codec/findings.hpp"

namespace accel_cuda {
namespace {

const char* argument_of(const AccelFaultRecord& record) {
  switch (record.argument) {
    case ACCEL_FAULT_ARG_SRC: return record.kind == ACCEL_FAULT_SLOT ? "src_slots" : "src_blocks";
    case ACCEL_FAULT_ARG_DST: return record.kind == ACCEL_FAULT_SLOT ? "dst_slots" : "dst_blocks";
    case ACCEL_FAULT_ARG_SLOTS: return "slots";
    case ACCEL_FAULT_ARG_TABLE: return "block_table";
    case ACCEL_FAULT_ARG_OLD: return "old_positions";
    case ACCEL_FAULT_ARG_NEW: return "new_positions";
    case ACCEL_FAULT_ARG_DATA: return "data";
    case ACCEL_FAULT_ARG_LENGTHS: return "seq_lens";
    default: return "indices";
  }
}

// Sets the error that the record stands for.
void set_error(const AccelFaultRecord& record) {
  const std::string where = argument_of(record);
  const std::string limit = std::to_string(record.limit), index = std::to_string(record.index);
  const std::string given = index + " at position " + std::to_string(record.position);
  const char* const cure =
      "the indices were on the device, so the kernel left the bad ones out: give indices that fit, "
      "pass them on the host, or set ACCEL_CHECK_DEVICE_SLOTS=1 to have them checked before";
  try {
    switch (record.kind) {
      case ACCEL_FAULT_SLOT:
        accel::fail("SlotError", where, "slots below " + limit, given, cure);
      case ACCEL_FAULT_BLOCK:
        accel::fail("SlotError", where, "blocks below " + limit, given, cure);
      case ACCEL_FAULT_POSITION:
        accel::fail("ArgumentError", where, "positions from 0 to below " + limit, given, cure);
      case ACCEL_FAULT_CODEC:
        coding::raise_finding(coding::finding_of(record));
      case ACCEL_FAULT_LENGTH:
        accel::fail("ArgumentError", where, "lengths up to " + limit, given, cure);
      default:
        accel::fail_message("AccelError", "a kernel reported a fault of kind " +
                                              std::to_string(record.kind) + ": " + where + " " +
                                              given + ", limit " + limit);
    }
  } catch (const accel::ErrorSet&) {
  }
}

// Sets the Python error of the state's first failure if none is set yet; the number of failures.
int take(StreamState& state) {
  int count = 0;
  std::vector<PyObject*> raised;
  raised.swap(state.failures);
  for (PyObject* exception : raised) {
    ++count;
    if (PyErr_Occurred() == nullptr) {
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    }
    Py_DECREF(exception);
  }
  // volatile: the device writes it.
  const volatile AccelFaultRecord& live = state.words->fault;
  if (live.state != 0) {
    std::atomic_thread_fence(std::memory_order_acquire);
    const AccelFaultRecord record = state.words->fault;
    state.words->fault = AccelFaultRecord{};
    ++count;
    if (PyErr_Occurred() == nullptr) set_error(record);
  }
  return count;
}

// Of the captures that were replayed on the stream since it was last idle, as it is now.
int take_replayed(StreamState& state) {
  int count = 0;
  for (StreamState* captured : state.replayed) count += take(*captured);
  state.replayed.clear();
  return count;
}

[[noreturn]] void raise_async_error(int count) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  std::string message = "work on the stream failed: " + accel::describe(value, 500);
  if (count > 1) message += " (the first of " + std::to_string(count) + " failures)";
  PyErr_Restore(type, value, traceback);
  accel::fail_message("AsyncError", message);  // what is set becomes its cause
}

}  // namespace

void raise_failures(StreamState& state) {
  int count = take(state);
  count += take_replayed(state);
  if (count > 0) raise_async_error(count);
}

void raise_failures(const std::vector<StreamState*>& states) {
  int count = 0;
  for (StreamState* state : states) {
    count += take(*state);
    count += take_replayed(*state);
  }
  if (count > 0) raise_async_error(count);
}

}  // namespace accel_cuda
