#include "accel_sim/ranks/wire.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <tuple>

#include "accel_sim/ranks/failure.hpp"

namespace accel_ranks {
namespace {

[[noreturn]] void system_failure(const char* what) {
  throw RankFailure(Problem::system, std::string(what) + ": " + std::strerror(errno));
}

// True when the socket is ready, false after the deadline.
bool wait_for(int socket, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd entry{socket, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(left < 60000 ? left : 60000));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) system_failure("poll");
  }
}

// The address of an abstract name: a zero byte, then the name, without a terminator.
socklen_t abstract_address(const std::string& name, sockaddr_un& address) {
  std::memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof address.sun_path) {
    throw RankFailure(Problem::internal, "the address " + name + " is too long");
  }
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

}  // namespace

bool operator<(const Tag& left, const Tag& right) {
  return std::tie(left.kind, left.sequence, left.phase) <
         std::tie(right.kind, right.sequence, right.phase);
}

SocketPair socket_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    system_failure("socketpair");
  }
  return {ends[0], ends[1]};
}

bool write_all(int socket, const void* data, std::size_t bytes, Deadline deadline) {
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(socket, next, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      next += sent;
      bytes -= static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait_for(socket, POLLOUT, deadline)) {
        throw RankFailure(Problem::timeout, "its process takes no data");
      }
    } else if (errno == EPIPE || errno == ECONNRESET || errno == EBADF || errno == ENOTCONN) {
      return false;
    } else if (errno != EINTR) {
      system_failure("send");
    }
  }
  return true;
}

bool read_all(int socket, void* data, std::size_t bytes, Deadline deadline) {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = ::recv(socket, next, bytes, MSG_DONTWAIT);
    if (got > 0) {
      next += got;
      bytes -= static_cast<std::size_t>(got);
    } else if (got == 0) {
      return false;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!wait_for(socket, POLLIN, deadline)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void send_sockets(int socket, const std::vector<int>& sockets, Deadline deadline) {
  if (sockets.empty()) return;
  std::vector<char> control(CMSG_SPACE(sockets.size() * sizeof(int)));
  char byte = 'S';
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sockets.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), sockets.data(), sockets.size() * sizeof(int));
  while (sendmsg(socket, &message, MSG_NOSIGNAL) != 1) {
    if (errno == EAGAIN && wait_for(socket, POLLOUT, deadline)) continue;
    if (errno != EINTR) system_failure("sendmsg of the ranks' sockets");
  }
}

std::vector<int> receive_sockets(int socket, std::size_t count, Deadline deadline) {
  std::vector<int> sockets(count, -1);
  if (count == 0) return sockets;
  std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
  char byte = 0;
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) != 1) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN && wait_for(socket, POLLIN, deadline)) continue;
    throw RankFailure(Problem::connect, "the root rank went away while the ranks were joining");
  }
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_len != CMSG_LEN(count * sizeof(int))) {
    throw RankFailure(Problem::internal, "the root rank sent fewer sockets than there are ranks");
  }
  std::memcpy(sockets.data(), CMSG_DATA(header), count * sizeof(int));
  return sockets;
}

int listen_at(const std::string& name) {
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) system_failure("socket");
  sockaddr_un address;
  const socklen_t length = abstract_address(name, address);
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(socket, 64) != 0) {
    const int error = errno;
    close_socket(socket);
    if (error == EADDRINUSE) return -1;
    errno = error;
    system_failure("bind");
  }
  return socket;
}

int connect_to(const std::string& name) {
  int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) system_failure("socket");
  sockaddr_un address;
  const socklen_t length = abstract_address(name, address);
  if (connect(socket, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    close_socket(socket);
    return -1;
  }
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  return socket;
}

void close_socket(int& socket) {
  if (socket >= 0) close(socket);
  socket = -1;
}

}  // namespace accel_ranks
