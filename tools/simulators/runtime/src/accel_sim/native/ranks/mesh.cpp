#include "accel_sim/ranks/mesh.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace accel_ranks {
namespace {

constexpr std::uint32_t kMagic = 0x4b4e4152;  // "RANK"

}  // namespace

Mesh::Mesh(std::uint32_t rank, std::vector<int> sockets) : rank_(rank), peers_(sockets.size()) {
  for (std::size_t i = 0; i < sockets.size(); ++i) peers_[i].socket = sockets[i];
  const SocketPair wake = socket_pair();
  wake_read_ = wake.first;
  wake_write_ = wake.second;
  reader_ = std::thread([this] { read_loop(); });
}

Mesh::~Mesh() { close(); }

void Mesh::throw_if_failed() const {
  if (code_ != Problem::none) throw RankFailure(code_, text_);
}

void Mesh::throw_if_gone(std::uint32_t peer) const {
  if (peers_[peer].died) {
    throw RankFailure(Problem::remote, "rank " + std::to_string(peer) + " died");
  }
  if (peers_[peer].left) {
    throw RankFailure(Problem::remote,
                      "rank " + std::to_string(peer) + " has destroyed its communicator");
  }
}

void Mesh::send(std::uint32_t peer, const Tag& tag, const void* data, std::size_t bytes,
                Deadline deadline) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    throw_if_failed();
    throw_if_gone(peer);
  }
  const FrameHeader header{kMagic, tag.kind, tag.phase, 0, tag.sequence, bytes};
  bool sent = false;
  try {
    std::lock_guard<std::mutex> lock(peers_[peer].writing);
    sent = write_all(peers_[peer].socket, &header, sizeof header, deadline) &&
           write_all(peers_[peer].socket, data, bytes, deadline);
  } catch (const RankFailure& failure) {
    throw RankFailure(failure.problem, "sending to rank " + std::to_string(peer) + ": " +
                                        failure.what());
  }
  if (sent) return;
  // The reader may not have come to what was said before that end, such as why the calls failed.
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_until(lock, deadline, [&] {
    return code_ != Problem::none || peers_[peer].died || peers_[peer].left;
  });
  throw_if_failed();
  throw_if_gone(peer);
  throw RankFailure(Problem::remote, "rank " + std::to_string(peer) + " died");
}

std::optional<Bytes> Mesh::take(std::uint32_t peer, const Tag& tag) {
  auto& inbox = peers_[peer].inbox;
  const auto found = inbox.find(tag);
  if (found == inbox.end()) return std::nullopt;
  Bytes bytes = std::move(found->second);
  inbox.erase(found);
  return bytes;
}

Bytes Mesh::receive(std::uint32_t peer, const Tag& tag, Deadline deadline,
                    const std::function<std::string()>& what) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (std::optional<Bytes> bytes = take(peer, tag)) return std::move(*bytes);
    throw_if_failed();
    throw_if_gone(peer);
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout &&
        Clock::now() >= deadline) {
      if (std::optional<Bytes> bytes = take(peer, tag)) return std::move(*bytes);
      lock.unlock();
      throw RankFailure(Problem::timeout, what());
    }
  }
}

std::optional<Bytes> Mesh::poll(std::uint32_t peer, const Tag& tag) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (std::optional<Bytes> bytes = take(peer, tag)) return bytes;
  throw_if_failed();
  throw_if_gone(peer);
  return std::nullopt;
}

bool Mesh::has(std::uint32_t peer, FrameKind kind) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto& inbox = peers_[peer].inbox;
  return std::any_of(inbox.begin(), inbox.end(),
                     [kind](const auto& entry) { return entry.first.kind == kind; });
}

std::uint64_t Mesh::changes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return changes_;
}

bool Mesh::wait_change(std::uint64_t seen, Deadline deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return changes_ > seen; });
}

void Mesh::fail(Problem code, const std::string& text, bool tell) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (code_ != Problem::none) return;
    code_ = code;
    text_ = text;
    ++changes_;
    changed_.notify_all();
  }
  if (tell) tell_all(code, text);
}

void Mesh::tell_all(Problem code, const std::string& text) {
  const FrameHeader header{kMagic, FrameKind::kAbort, 0, 0, static_cast<std::uint64_t>(code),
                           text.size()};
  for (std::uint32_t peer = 0; peer < size(); ++peer) {
    if (peer == rank_) continue;
    try {  // the peers learn it by themselves, later, where this does not reach them
      std::lock_guard<std::mutex> lock(peers_[peer].writing);
      const Deadline deadline = deadline_after(std::chrono::milliseconds(500));
      if (write_all(peers_[peer].socket, &header, sizeof header, deadline)) {
        write_all(peers_[peer].socket, text.data(), text.size(), deadline);
      }
    } catch (const RankFailure&) {
    }
  }
}

Problem Mesh::state(std::chrono::milliseconds grace, std::string* text) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (code_ != Problem::none) {
    if (text != nullptr) *text = text_;
    return code_;
  }
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (peers_[i].died && Clock::now() - peers_[i].when >= grace) {
      if (text != nullptr) *text = "rank " + std::to_string(i) + " died";
      return Problem::remote;
    }
  }
  return Problem::none;
}

void Mesh::resume() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (std::uint32_t peer = 0; peer < size(); ++peer) throw_if_gone(peer);
  code_ = Problem::none;
  text_.clear();
  for (Peer& peer : peers_) peer.inbox.clear();
}

void Mesh::close() {
  if (closing_.exchange(true)) return;
  Problem code;
  std::string text;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    code = code_;
    text = text_;
  }
  // Who has not heard of the failure from its first witness would take it for this rank's leaving.
  if (code != Problem::none) tell_all(code, text);
  const FrameHeader header{kMagic, FrameKind::kGoodbye, 0, 0, 0, 0};
  for (std::uint32_t peer = 0; peer < size(); ++peer) {
    if (peer == rank_) continue;
    try {
      std::lock_guard<std::mutex> lock(peers_[peer].writing);
      write_all(peers_[peer].socket, &header, sizeof header,
                deadline_after(std::chrono::milliseconds(500)));
    } catch (const RankFailure&) {
    }
  }
  fail(Problem::unavailable, "the communicator was destroyed while this call was on its stream",
       false);
  const char byte = 0;
  (void)!::write(wake_write_, &byte, 1);
  if (reader_.joinable()) reader_.join();
  for (Peer& peer : peers_) {
    std::lock_guard<std::mutex> lock(peer.writing);
    close_socket(peer.socket);
  }
  close_socket(wake_read_);
  close_socket(wake_write_);
}

void Mesh::close_in_child() {
  closing_.store(true);  // the reader did not come along: there is nobody to join
  for (Peer& peer : peers_) close_socket(peer.socket);
  close_socket(wake_read_);
  close_socket(wake_write_);
}

void Mesh::read_loop() {
  for (;;) {
    std::vector<pollfd> entries{{wake_read_, POLLIN, 0}};
    std::vector<std::uint32_t> ranks;
    for (std::uint32_t i = 0; i < size(); ++i) {
      if (i == rank_ || peers_[i].left || peers_[i].died) continue;
      entries.push_back({peers_[i].socket, POLLIN, 0});
      ranks.push_back(i);
    }
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) return;
    if (closing_.load()) return;
    std::vector<Peer*> gone;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      if (entries[i + 1].revents == 0) continue;
      Peer& peer = peers_[ranks[i]];
      if (!read_some(peer, ranks[i])) gone.push_back(&peer);
    }
    if (gone.empty()) continue;
    // Only now, when all that the others had said before was read: it may say why a rank ended.
    std::lock_guard<std::mutex> lock(mutex_);
    for (Peer* peer : gone) {
      if (!peer->left) peer->died = true;
      peer->when = Clock::now();
    }
    ++changes_;
    changed_.notify_all();
  }
}

// Reads what is there. False when the peer is gone.
bool Mesh::read_some(Peer& peer, std::uint32_t rank) {
  for (;;) {
    const bool in_header = peer.header_read < sizeof peer.header;
    char* into = in_header ? reinterpret_cast<char*>(&peer.header) + peer.header_read
                           : reinterpret_cast<char*>(peer.payload.data()) + peer.payload_read;
    const std::size_t wanted = in_header ? sizeof peer.header - peer.header_read
                                         : peer.payload.size() - peer.payload_read;
    if (wanted > 0) {
      const ssize_t got = ::recv(peer.socket, into, wanted, MSG_DONTWAIT);
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
      (in_header ? peer.header_read : peer.payload_read) += static_cast<std::size_t>(got);
    }
    if (peer.header_read < sizeof peer.header) continue;
    if (in_header) {
      if (peer.header.magic != kMagic) return false;
      peer.payload.assign(peer.header.bytes, 0);
      peer.payload_read = 0;
    }
    if (peer.payload_read == peer.payload.size()) {
      deliver(peer, rank);
      peer.header_read = 0;
      if (peer.left) return false;
    }
  }
}

void Mesh::deliver(Peer& peer, std::uint32_t rank) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (peer.header.kind == FrameKind::kGoodbye) {
    peer.left = true;
  } else if (peer.header.kind == FrameKind::kAbort) {
    if (code_ == Problem::none) {
      const std::string reason(peer.payload.begin(), peer.payload.end());
      const auto sent = static_cast<Problem>(peer.header.sequence);
      // What is wrong with the calls, or a death, is the same on all ranks: said in the same words.
      const bool shared = sent == Problem::argument || sent == Problem::remote;
      code_ = sent == Problem::argument ? Problem::argument : Problem::remote;
      text_ = shared ? reason : "rank " + std::to_string(rank) + " failed: " + reason;
    }
  } else {
    peer.inbox[{peer.header.kind, peer.header.phase, peer.header.sequence}] =
        std::move(peer.payload);
  }
  peer.payload = Bytes();
  ++changes_;
  changed_.notify_all();
}

}  // namespace accel_ranks
