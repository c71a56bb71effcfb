// The pinned pool of a plugin's process, of memory that the vendor's allocator locks.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "../fork.hpp"
#include "../host_pages.hpp"
#include "../page_lock.hpp"
#include "../pinned_module.hpp"
#include "stream_state.hpp"

namespace accel {

// Plain blocks come from the vendor's allocator. A vendor that registers other memory overrides
// the rest.
class DevicePageLock : public PageLock {
 public:
  // Libraries want a device for all of this, whichever.
  static void use_device(int index) { some_device().store(index); }

  bool allocates() const override { return true; }

  void* allocate(std::size_t nbytes, std::string& why) override {
    OnDevice current(some_device().load());
    void* const raw = runtime().allocate_host(nbytes + kPageBytes, why);
    if (raw == nullptr) return nullptr;
    const auto at = reinterpret_cast<std::uintptr_t>(raw) + kPageBytes - 1;
    void* const base = reinterpret_cast<void*>(at / kPageBytes * kPageBytes);
    std::lock_guard<std::mutex> lock(blocks_mutex_);
    blocks_[base] = {raw, fork_generation()};
    return base;
  }

  void free(void* base) override {
    Block block{};
    {
      std::lock_guard<std::mutex> lock(blocks_mutex_);
      const auto found = blocks_.find(base);
      if (found == blocks_.end()) return;
      block = found->second;
      blocks_.erase(found);
    }
    if (fork_generation() != block.generation) return;  // the parent's
    try {
      OnDevice current(some_device().load());
      runtime().free_host(block.raw);
    } catch (const RuntimeFault&) {
      // The device is lost, and its host memory with it.
    }
  }

  bool lock(void*, std::size_t, std::string& why) override {
    why = std::string(runtime().names().api) + " has no call that registers host memory";
    return false;
  }
  void unlock(void*, std::size_t) override {}
  void before_unmapping(void* base, std::size_t nbytes) override { unlock(base, nbytes); }
  bool by_page() const override { return false; }
  bool optional() const override { return false; }

 protected:
  static std::atomic<int>& some_device() {
    static std::atomic<int> index{0};
    return index;
  }

 private:
  struct Block {
    void* raw;  // the library's address; ours is aligned to pages
    unsigned generation;
  };
  std::mutex blocks_mutex_;
  std::map<void*, Block> blocks_;
};

// The pool; a module defines it with its own lock.
PinnedPool& pinned_pool();

// What accel::PinnedModule asks for; a plugin derives its own, so that the module's types differ.
struct DevicePinned {
  static PinnedPool& pool() { return pinned_pool(); }
  static const char* package() { return runtime().names().package; }
  static void release_finished() { StreamState::release_passed(); }

  static StreamPoint point(pybind11::handle stream) {
    if (!pybind11::hasattr(stream, "submit_handle") || !pybind11::hasattr(stream, "index")) {
      fail("DTypeError", "stream",
           std::string("a stream of the ") + runtime().names().backend + " backend",
           describe(stream.ptr()), "create streams with backend.streams.create()");
    }
    // Behind what torch has queued for it on the host.
    const auto handle = pybind11::cast<std::uintptr_t>(stream.attr("submit_handle")());
    const int index = pybind11::cast<int>(stream.attr("index"));
    return StreamState::of(index, reinterpret_cast<StreamHandle>(handle)).exact_point();
  }
};

}  // namespace accel
