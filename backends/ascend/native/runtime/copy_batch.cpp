#include "copy_batch.hpp"

#include <pybind11/pybind11.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "said_once.hpp"

namespace accel_ascend {
namespace {

namespace py = pybind11;
using Kind = Place::Kind;

// What one call is given at most.
constexpr std::size_t kMostInOneCall = 4096;

std::atomic<bool> refused{false};

bool for_batch(const FlatCopy& copy) {
  return copy.dst_place.on_host() != copy.src_place.on_host() &&
         copy.dst_place.kind != Kind::Pageable && copy.src_place.kind != Kind::Pageable;
}

Location location_of(const Place& place) {
  if (place.on_host()) return {0, kLocationHost};
  return {static_cast<std::uint32_t>(place.device), kLocationDevice};
}

bool same_way(const FlatCopy& a, const FlatCopy& b) {
  return a.dst_place.device == b.dst_place.device && a.src_place.device == b.src_place.device;
}

// One call; false, and nothing was given to the stream, when this chip does not take batches.
bool call(StreamState& state, const FlatCopy* copies, std::size_t count) {
  std::vector<void*> dsts(count), srcs(count);
  std::vector<std::size_t> sizes(count), first;
  std::vector<BatchAttributes> attributes;
  for (std::size_t i = 0; i < count; ++i) {
    dsts[i] = reinterpret_cast<void*>(copies[i].dst);
    srcs[i] = reinterpret_cast<void*>(copies[i].src);
    sizes[i] = copies[i].nbytes;
    if (i > 0 && same_way(copies[i - 1], copies[i])) continue;
    BatchAttributes attribute{};
    attribute.dst = location_of(copies[i].dst_place);
    attribute.src = location_of(copies[i].src_place);
    attributes.push_back(attribute);
    first.push_back(i);
  }
  std::vector<std::size_t> room = sizes;
  std::size_t failed = SIZE_MAX;
  Result result;
  {
    py::gil_scoped_release unlocked;
    Current current(state.device);
    result = acl().memcpy_batch_async(dsts.data(), room.data(), srcs.data(), sizes.data(), count,
                                      attributes.data(), first.data(), attributes.size(), &failed,
                                      state.handle);
  }
  if (result == kNotSupported || result == kApiNotSupported) return false;
  check(result, Entry::memcpy_batch_async);
  return true;
}

}  // namespace

void issue_batch(StreamState& state, std::vector<FlatCopy> copies) {
  const auto to_host = [](const FlatCopy& copy) { return copy.dst_place.on_host(); };
  const auto rest = std::stable_partition(copies.begin(), copies.end(), for_batch);
  // One call goes one way.
  const auto turn = std::stable_partition(copies.begin(), rest, to_host);
  auto next = copies.begin();
  if (rest - next > 1 && acl().memcpy_batch_async != nullptr && !refused.load()) {
    while (next != rest) {
      const auto end = next < turn ? turn : rest;
      const auto count = std::min(static_cast<std::size_t>(end - next), kMostInOneCall);
      if (!call(state, &*next, count)) {
        refused.store(true);
        break;
      }
      next += static_cast<std::ptrdiff_t>(count);
    }
  }
  if (rest - next > 1) {
    say_once(acl().memcpy_batch_async == nullptr
                 ? "CANN " + cann_version() +
                       " has no aclrtMemcpyBatchAsync: a batch is one call for each of its copies. "
                       "Cure: CANN 8.5 or newer"
                 : "this chip or driver refuses aclrtMemcpyBatchAsync: a batch is one call for each "
                   "of its copies. Cure: upgrade the driver");
  }
  CopyIssue issue(state);
  for (; next != copies.end(); ++next) {
    issue.flat(next->dst, next->dst_place, next->src, next->src_place, next->nbytes);
  }
}

}  // namespace accel_ascend
