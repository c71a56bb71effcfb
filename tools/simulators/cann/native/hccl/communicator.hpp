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
#include "dtypes.hpp"
#include "mesh.hpp"
#include "rendezvous.hpp"

namespace accel_hccl {

/// Times in milliseconds, from the environment unless a communicator's configuration says otherwise.
struct Times {
  std::chrono::milliseconds connect{120000};  // HCCL_CONNECT_TIMEOUT, seconds
  std::chrono::milliseconds execute{1836000}; // HCCL_EXEC_TIMEOUT, seconds; 0: no limit
  std::chrono::milliseconds death{1000};      // HCCL_SIM_DEATH_MS: until a death that no call
                                              // waits for shows in HcclGetCommAsyncError
  std::chrono::milliseconds destroy{1000};    // HCCL_SIM_DESTROY_MS: HcclCommDestroy ends calls
                                              // on streams that made no progress for so long
};
Times times_from_environment();

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

  /// HcclGetCommAsyncError. `text` may be nullptr.
  HcclResult state(std::string* text) const { return mesh_.state(times_.death, text); }
  /// Throws when the communicator has failed: no call is accepted after that.
  void check_alive() const;
  void resume();

  /// Lets what is on the streams go on while it makes progress, fails what is left, and leaves.
  void destroy();

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
  std::mutex pending_mutex_;
  std::condition_variable none_pending_;
  std::uint64_t pending_ = 0;
  Mesh mesh_;
};

using CommunicatorPointer = std::shared_ptr<Communicator>;

/// Handles are checked: one that was never given out, or was destroyed, is an error and no crash.
HcclComm publish(CommunicatorPointer communicator);
CommunicatorPointer communicator_of(HcclComm handle);  // throws HCCL_E_PTR, HCCL_E_PARA
CommunicatorPointer retire(HcclComm handle);

}  // namespace accel_hccl
