// Bytes between two ranks: Unix stream sockets that carry framed messages.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace accel_ranks __attribute__((visibility("default"))) {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

inline Deadline deadline_after(std::chrono::milliseconds span) { return Clock::now() + span; }

enum class FrameKind : std::uint32_t {
  kCall = 1,     // a collective's description
  kData,         // a collective's data
  kOffer,        // a send's description: the sender waits for the answer
  kTake,         // the receiver's answer: empty, or why it refuses
  kMessage,      // a send's data
  kRootInfo,     // how to join a sub-communicator
  kAbort,        // the communicator failed on the sender; the payload says why
  kGoodbye,      // the sender destroyed its communicator
};

/// What a message is for. Two messages of one rank with equal tags never exist at a time.
struct Tag {
  FrameKind kind;
  std::uint32_t phase;
  std::uint64_t sequence;
};

bool operator<(const Tag& left, const Tag& right);

struct FrameHeader {
  std::uint32_t magic;
  FrameKind kind;
  std::uint32_t phase;
  std::uint32_t unused;
  std::uint64_t sequence;
  std::uint64_t bytes;
};

/// A pair of connected sockets, closed when a program is executed.
struct SocketPair {
  int first;
  int second;
};
SocketPair socket_pair();

/// Writes all bytes to a non-blocking socket. False when the peer is gone; throws timeout
/// after the deadline (the peer's process is stopped).
bool write_all(int socket, const void* data, std::size_t bytes, Deadline deadline);

/// Reads all bytes from a non-blocking socket. False when the peer closed it or the deadline passed.
bool read_all(int socket, void* data, std::size_t bytes, Deadline deadline);

/// Sends open sockets to another process, with one byte.
void send_sockets(int socket, const std::vector<int>& sockets, Deadline deadline);
std::vector<int> receive_sockets(int socket, std::size_t count, Deadline deadline);

/// A listening socket in the abstract namespace, which leaves no file behind. -1: the name is used.
int listen_at(const std::string& name);
/// A connection to that name, or -1 when nobody listens there.
int connect_to(const std::string& name);

void close_socket(int& socket);

}  // namespace accel_ranks
