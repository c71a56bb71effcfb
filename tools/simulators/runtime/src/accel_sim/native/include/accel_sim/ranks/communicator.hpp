// One rank's view of a communicator: who is in it, the order of its calls, and why it failed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "accel_sim/streams.hpp"
#include "accel_sim/ranks/dtypes.hpp"
#include "accel_sim/ranks/mesh.hpp"
#include "accel_sim/ranks/rendezvous.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

/// A vendor library reads them from its environment.
struct Times {
  std::chrono::milliseconds connect{120000};  // until all ranks have joined
  std::chrono::milliseconds execute{0};       // of one call; 0: no limit
  std::chrono::milliseconds death{1000};      // until a death that no call waits for shows
  std::chrono::milliseconds destroy{1000};    // destroy() ends calls without progress for so long
};
/// The environment variable `name`, a whole number of `unit_ms` milliseconds, or `otherwise`.
std::chrono::milliseconds time_from_environment(const char* name,
                                                std::chrono::milliseconds otherwise,
                                                std::int64_t unit_ms);

class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  Communicator(Joined joined, std::uint32_t rank, int device, const Times& times);

  const std::string& name() const { return name_; }
  std::uint32_t rank() const { return mesh_.rank(); }
  std::uint32_t size() const { return mesh_.size(); }
  int device() const { return device_; }
  const Times& times() const { return times_; }
  Mesh& mesh() { return mesh_; }

  /// The next number of a collective, or of a message to or from a peer. The host takes them in the
  /// order of its calls; they are what the ranks match their calls by.
  std::uint64_t next_collective() { return collectives_++; }
  std::uint64_t next_send(std::uint32_t peer) { return sends_[peer]++; }
  std::uint64_t next_receive(std::uint32_t peer) { return receives_[peer]++; }

  /// Counts the sub-communicators of one identifier that were made with a peer.
  std::uint32_t next_sub(std::uint64_t id, std::uint32_t peer);

  /// Puts a call on a stream. `number` takes the call's numbers: now, or on each replay when the
  /// stream is being captured. `run` gets what `number` returned. A failure of `run` fails the
  /// communicator on all ranks and becomes the stream's error.
  using Numbers = std::vector<std::uint64_t>;
  void submit(accel_sim::Stream& stream, Operation operation, std::uint64_t bytes,
              std::function<Numbers()> number, std::function<void(const Numbers&)> run);

  /// The limit of a call that begins now.
  Deadline call_deadline() const;

  /// What the communicator failed with, if it did. `text` may be nullptr.
  Problem state(std::string* text) const { return mesh_.state(times_.death, text); }
  /// Throws when the communicator has failed: no call is accepted after that.
  void check_alive();
  void resume();

  /// True while calls are on streams.
  bool busy() const;

  /// Lets what is on the streams go on while it makes progress, fails what is left, and leaves.
  void destroy();
  /// Fails what is on the streams, here and on the other ranks, and leaves.
  void abort();

  /// "communicator NAME, rank 1 of 4"
  std::string where() const;

 private:
  friend class Ticket;
  void begin();
  void end();

  const std::string name_;
  const int device_;
  const Times times_;
  std::uint64_t collectives_ = 0;
  std::vector<std::uint64_t> sends_;
  std::vector<std::uint64_t> receives_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint32_t> subs_;
  std::mutex order_;
  mutable std::mutex pending_mutex_;
  std::condition_variable none_pending_;
  std::uint64_t pending_ = 0;
  Mesh mesh_;
};

using CommunicatorPointer = std::shared_ptr<Communicator>;

/// Handles are checked: one that was never given out, or was destroyed, is an error and no crash.
void* publish(CommunicatorPointer communicator);
CommunicatorPointer communicator_of(
    void* handle);  // throws null_pointer, argument
CommunicatorPointer retire(void* handle);

}  // namespace accel_ranks
