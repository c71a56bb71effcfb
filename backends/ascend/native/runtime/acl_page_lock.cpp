#include "acl_page_lock.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "../acl/error.hpp"

namespace accel_ascend {
namespace {

std::uintptr_t address(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }
void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

std::uintptr_t page_floor(std::uintptr_t at) { return at / accel::kPageBytes * accel::kPageBytes; }

Result register_pages(void* base, std::size_t nbytes, Entry& entry) {
  Result result = kApiNotSupported;
  if (acl().host_register_v2 != nullptr) {
    entry = Entry::host_register_v2;
    result = acl().host_register_v2(base, nbytes, kRegisterPinned);
    if (result == kSuccess) return result;
  }
  if (acl().host_register == nullptr) return result;
  // Older CANN, and chips that only map.
  entry = Entry::host_register;
  void* for_device = nullptr;
  return acl().host_register(base, nbytes, kRegisterMapped, &for_device);
}

}  // namespace

bool AclPageLock::lock(void* base, std::size_t nbytes, std::string& why) {
  const std::uintptr_t first = page_floor(address(base));
  const std::uintptr_t last = page_floor(address(base) + nbytes + accel::kPageBytes - 1);
  std::lock_guard<std::mutex> lock(mutex_);
  accel::OnDevice current(some_device().load());
  std::vector<std::uintptr_t> used;
  std::uintptr_t at = first;
  while (at < last) {
    auto next = segments_.upper_bound(at);
    if (next != segments_.begin() && std::prev(next)->second.end > at) {
      --next;
      ++next->second.users;
      used.push_back(next->first);
      at = next->second.end;
      continue;
    }
    const std::uintptr_t end = next == segments_.end() ? last : std::min(last, next->first);
    Entry entry = Entry::host_register;
    const Result result = register_pages(pointer(at), end - at, entry);
    if (result != kSuccess) {
      why = message_of(result, entry);
      let_go(used);
      if (is_device_error(result)) throw_acl_fault(result, entry);
      return false;
    }
    segments_[at] = {end, 1};
    used.push_back(at);
    at = end;
  }
  ranges_[base] = {std::move(used), accel::fork_generation()};
  return true;
}

void AclPageLock::unlock(void* base, std::size_t) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = ranges_.find(base);
  if (found == ranges_.end()) return;
  const Range range = std::move(found->second);
  ranges_.erase(found);
  if (accel::fork_generation() != range.generation) return;  // the parent's
  try {
    accel::OnDevice current(some_device().load());
    let_go(range.segments);
  } catch (const accel::RuntimeFault&) {
    // The device is lost, and its registrations with it.
  }
}

void AclPageLock::let_go(const std::vector<std::uintptr_t>& segments) {
  for (const std::uintptr_t first : segments) {
    const auto found = segments_.find(first);
    if (found == segments_.end() || --found->second.users > 0) continue;
    if (acl().host_unregister != nullptr) acl().host_unregister(pointer(first));
    segments_.erase(found);
  }
}

bool AclPageLock::works(std::string& why) {
  if (acl().host_unregister == nullptr ||
      (acl().host_register == nullptr && acl().host_register_v2 == nullptr)) {
    why = "this CANN has no aclrtHostRegister";
    return false;
  }
  void* const page = mmap(nullptr, accel::kPageBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    why = "no memory to try it with";
    return false;
  }
  accel::OnDevice current(some_device().load());
  Entry entry = Entry::host_register;
  const Result result = register_pages(page, accel::kPageBytes, entry);
  if (result == kSuccess) {
    acl().host_unregister(page);
  } else {
    why = message_of(result, entry);
  }
  munmap(page, accel::kPageBytes);
  return result == kSuccess;
}

}  // namespace accel_ascend
