// What goes wrong inside a simulator: a kind that every vendor's code table maps, and a text for people.
#pragma once

#include <stdexcept>
#include <string>

namespace accel_sim __attribute__((visibility("default"))) {

enum class Kind {
  invalid_argument,    // a value that no call could accept
  null_pointer,        // an argument without an address
  invalid_handle,      // a stream, event or other handle that is not alive
  invalid_device,      // a device number that is not there
  no_context,          // the thread has chosen no device and none is implied
  wrong_device,        // a stream or memory of another device than the one it is used with
  unaligned,           // an address or a size that the hardware would refuse
  out_of_bounds,       // device memory outside any live allocation
  use_after_free,      // device memory that was given back
  out_of_memory,       // the device's limit is reached
  host_registration,   // a host range that is registered already, or is not
  not_supported,       // the posed version or chip has no such thing
  not_simulated,       // hardware could, this simulator cannot
  timeout,             // a wait with a limit ran past it
  task_failed,         // work on a stream failed
  stream_aborted,      // work was dropped by an abort
  not_ready,           // an answer that exists only after the work has run
  no_timing,           // an event without a time
  not_subscribed,      // a callback for a thread that does not serve its stream
  ipc,                 // a handle of another process that cannot be opened
  not_initialised,     // a call before the vendor's initialisation
  capture,             // not allowed while, or only while, a stream is captured
  forked,              // a child process uses its parent's simulator
  internal,
};

// Thrown by everything in the core. `code` is the vendor's number: given, or mapped from the kind.
class Failure : public std::runtime_error {
 public:
  Failure(Kind kind, const std::string& text);
  Failure(int code, const std::string& text);
  ~Failure() override;
  int code() const { return code_; }
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
  int code_;
};

// An error at rest, as a stream keeps it. code 0: none.
struct Error {
  int code = 0;
  std::string text;
  explicit operator bool() const { return code != 0; }
};

// The exception being handled, as an error. Call it inside a catch block only.
Error current_error();

// The thread's most recent failed call, for functions like aclGetRecentErrMsg. Empty when none.
const std::string& recent_error_text();
void set_recent_error(const Error& error);
int recent_error_code(bool clear);  // 0 when no call failed since it was cleared

}  // namespace accel_sim
