// One record of an event: what a wait, a query or a synchronise that came after it looks at.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "accel_sim/failure.hpp"
#include "accel_sim/graphs.hpp"
#include "shared_page.hpp"

namespace accel_sim {

class Mark {
 public:
  virtual ~Mark() = default;
  void finish(Error error);
  virtual bool done() const;
  virtual bool wait(int timeout_ms) const;  // false: the time ran out
  virtual std::uint64_t time_ns() const;
  Error error() const;

  std::shared_ptr<Graph> graph;  // the graph that the record was captured into

 protected:
  mutable std::mutex mutex_;
  mutable std::condition_variable ready_;
  bool done_ = false;
  std::uint64_t time_ns_ = 0;
  Error error_;
};

// A record of an event that several processes use: `generation` records have to have run.
class SharedMark : public Mark {
 public:
  SharedMark(SharedEvent& slot, pid_t owner, std::uint64_t generation)
      : slot_(slot), owner_(owner), generation_(generation) {}
  void publish();
  bool done() const override;
  bool wait(int timeout_ms) const override;
  std::uint64_t time_ns() const override;

 private:
  SharedEvent& slot_;
  const pid_t owner_;
  const std::uint64_t generation_;
};

struct SharedSlot {
  SharedEvent* event;
  pid_t owner;
  int page_file;
  int number;
};

}  // namespace accel_sim
