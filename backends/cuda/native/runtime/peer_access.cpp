#include "peer_access.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "capture_mode.hpp"

namespace accel_cuda {
namespace {

// What fails here only makes copies slower; torch may have done it already.
void enable(const Device& from, const Device& to) {
  int possible = 0;
  if (driver().can_access_peer(&possible, from.ordinal, to.ordinal) != kSuccess || possible == 0) {
    return;
  }
  Current current(from);
  driver().enable_peer_access(to.context, 0);
}

}  // namespace

void connect_peers(const Device& a, const Device& b) {
  if (driver().can_access_peer == nullptr || driver().enable_peer_access == nullptr) return;
  static std::mutex mutex;
  static auto* connected = new std::set<std::pair<int, int>>;
  std::lock_guard<std::mutex> lock(mutex);
  if (!connected->insert({std::min(a.index, b.index), std::max(a.index, b.index)}).second) return;
  UnrelatedToCaptures unrelated;
  enable(a, b);
  enable(b, a);
}

}  // namespace accel_cuda
