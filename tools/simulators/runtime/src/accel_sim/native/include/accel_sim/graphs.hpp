// A recorded sequence of tasks that can be run again.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "accel_sim/streams.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

// The order of capture is an order that every wait in it allows, so a graph is one list of tasks
// whatever streams they came from; events recorded and awaited inside it need no task.
class Graph {
 public:
  void add(Task task);
  void join(Stream& stream);  // the stream's tasks are captured from now on
  void end();                 // every stream that joined works again
  void run_on(Stream& stream) const;
  Stream* origin() const { return origin_; }
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Task> tasks_;
  std::set<Stream*> streams_;
  Stream* origin_ = nullptr;
};

}  // namespace accel_sim
