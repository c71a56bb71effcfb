// Many flat copies between devices and page-locked memory: one call where the vendor has it.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "copy_issue.hpp"

namespace accel {

class CopyBatch {
 public:
  // Gives all of them to the stream. Needs the GIL, and lets go of it.
  static void issue(StreamState& state, std::vector<FlatCopy> copies) {
    const auto to_host = [](const FlatCopy& copy) { return copy.dst_place.on_host(); };
    const auto rest = std::stable_partition(copies.begin(), copies.end(), fits);
    // One call goes one way.
    const auto turn = std::stable_partition(copies.begin(), rest, to_host);
    auto next = copies.begin();
    const std::size_t most = runtime().most_in_batch();
    if (rest - next > 1 && most > 0 && !refused().load()) {
      while (next != rest) {
        const auto end = next < turn ? turn : rest;
        const auto count = std::min(static_cast<std::size_t>(end - next), most);
        if (!call(state, &*next, count)) {
          refused().store(true);
          break;
        }
        next += static_cast<std::ptrdiff_t>(count);
      }
    }
    if (rest - next > 1) {
      const std::string why = runtime().why_no_batch();
      if (!why.empty()) say_once("a batch is one call for each of its copies: " + why);
    }
    CopyIssue each(state);
    for (; next != copies.end(); ++next) each.flat(*next);
  }

 private:
  static bool fits(const FlatCopy& copy) {
    return copy.dst_place.on_host() != copy.src_place.on_host() && !copy.dst_place.pageable() &&
           !copy.src_place.pageable();
  }

  static bool call(const StreamState& state, const FlatCopy* copies, std::size_t count) {
    pybind11::gil_scoped_release unlocked;
    OnDevice current(state.device);
    return runtime().copy_batch(copies, count, state.handle);
  }

  static std::atomic<bool>& refused() {
    static std::atomic<bool> once{false};
    return once;
  }
};

}  // namespace accel
