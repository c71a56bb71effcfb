// One rank's connections to all others: tagged messages, and who is gone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "accel_sim/ranks/failure.hpp"
#include "accel_sim/ranks/wire.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

using Bytes = std::vector<std::uint8_t>;

/// A thread reads every socket all the time, so that no write waits for a rank that is itself
/// writing. What was read waits in memory until it is asked for by peer and tag.
class Mesh {
 public:
  /// Takes the sockets; that of this rank itself is -1.
  Mesh(std::uint32_t rank, std::vector<int> sockets);
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  std::uint32_t rank() const { return rank_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(peers_.size()); }

  /// Throws remote when the peer is gone, and the mesh's failure if it has one.
  void send(std::uint32_t peer, const Tag& tag, const void* data, std::size_t bytes,
            Deadline deadline);

  /// Waits for a message. Throws timeout with `what()` after the deadline, remote
  /// when the peer is gone without having sent it, and the mesh's failure.
  Bytes receive(std::uint32_t peer, const Tag& tag, Deadline deadline,
                const std::function<std::string()>& what);

  /// The message if it is there. Throws as receive() does when it cannot come any more.
  std::optional<Bytes> poll(std::uint32_t peer, const Tag& tag);
  bool has(std::uint32_t peer, FrameKind kind) const;

  /// Counts what happened; wait_change returns when it exceeds `seen`, or false after the deadline.
  std::uint64_t changes() const;
  bool wait_change(std::uint64_t seen, Deadline deadline);

  /// Fails every waiting and later call of this rank, and of the others too when `tell`.
  void fail(Problem code, const std::string& text, bool tell);
  /// none, or why the mesh failed. A peer that died counts once `grace` has passed since.
  Problem state(std::chrono::milliseconds grace, std::string* text) const;
  /// Forgets a failure of this rank; throws when a peer is gone for good.
  void resume();

  /// Says goodbye and closes. Waiting calls fail.
  void close();
  /// In a forked child: closes the sockets, so that the parent's death shows, and touches nothing else.
  void close_in_child();

 private:
  struct Peer {
    int socket = -1;
    bool left = false;   // said goodbye
    bool died = false;   // closed without
    Deadline when{};     // of either
    FrameHeader header{};
    std::size_t header_read = 0;
    Bytes payload;
    std::size_t payload_read = 0;
    std::map<Tag, Bytes> inbox;
    std::mutex writing;
  };

  void tell_all(Problem code, const std::string& text);
  void read_loop();
  bool read_some(Peer& peer, std::uint32_t rank);
  void deliver(Peer& peer, std::uint32_t rank);
  void throw_if_failed() const;                        // mutex_ is held
  void throw_if_gone(std::uint32_t peer) const;        // mutex_ is held
  std::optional<Bytes> take(std::uint32_t peer, const Tag& tag);  // mutex_ is held

  const std::uint32_t rank_;
  std::vector<Peer> peers_;
  int wake_read_ = -1;
  int wake_write_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t changes_ = 0;
  Problem code_ = Problem::none;
  std::string text_;
  std::atomic<bool> closing_{false};
  std::thread reader_;
};

}  // namespace accel_ranks
