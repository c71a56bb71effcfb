// How a call between ranks fails: a problem that every vendor's codes name, and a text for people.
#pragma once

#include <stdexcept>
#include <string>

namespace accel_ranks __attribute__((visibility("default"))) {

/// Ranks tell each other these: the numbers are the wire's.
enum class Problem : int {
  none,
  argument,       // a value that no call accepts, or one that differs between the ranks
  null_pointer,
  internal,
  not_supported,
  not_found,
  unavailable,    // the communicator was destroyed, or its place is taken
  system,
  timeout,
  file,           // a file that cannot be read
  connect,        // the others could not be reached
  runtime,        // a call was lost on its stream
  remote,         // another rank failed or went away
  suspended,
  out_of_memory,
};

class RankFailure : public std::runtime_error {
 public:
  RankFailure(Problem problem, const std::string& text)
      : std::runtime_error(text), problem(problem) {}
  Problem problem;
};

}  // namespace accel_ranks
