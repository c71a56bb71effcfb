// Placed, huge and page-locked host pages, from the operating system.
#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "fault.hpp"

namespace accel {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Anonymous pages, not locked. What the system refused is said in `note`, one sentence each.
struct HostPages {
  void* base = nullptr;
  std::size_t nbytes = 0;
  bool huge = false;
  std::string note;
};

namespace detail {

constexpr int kMpolBind = 2;  // of linux/mempolicy.h, which not every system has

inline std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

inline void append_sentence(std::string& note, const std::string& sentence) {
  if (!note.empty()) note += "; ";
  note += sentence;
}

inline void* map_anonymous(std::size_t nbytes, int flags) {
  void* at =
      mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

// A mapping aligned to huge pages, so that the kernel can use them from the first byte.
inline void* map_aligned(std::size_t nbytes) {
  auto* at = static_cast<char*>(map_anonymous(nbytes + kHugePageBytes, 0));
  if (at == nullptr) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  const std::size_t head = (kHugePageBytes - address % kHugePageBytes) % kHugePageBytes;
  if (head > 0) munmap(at, head);
  munmap(at + head + nbytes, kHugePageBytes - head);
  return at + head;
}

}  // namespace detail

// Those online.
inline const std::vector<int>& numa_nodes() {
  static const std::vector<int> nodes = [] {
    std::vector<int> found;
    std::stringstream list(detail::first_line("/sys/devices/system/node/online"));  // "0-1,4"
    std::string range;
    while (std::getline(list, range, ',')) {
      int first = 0, last = 0;
      const int read = std::sscanf(range.c_str(), "%d-%d", &first, &last);
      if (read < 1) continue;
      for (int node = first; node <= (read == 2 ? last : first); ++node) found.push_back(node);
    }
    return found;
  }();
  return nodes;
}

// False with the reason in `why`, like all below that take one.
inline bool bind_to_node(void* base, std::size_t nbytes, int node, std::string& why) {
  constexpr std::size_t kWordBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask(static_cast<std::size_t>(node) / kWordBits + 1);
  mask[static_cast<std::size_t>(node) / kWordBits] |=
      1ul << (static_cast<std::size_t>(node) % kWordBits);
  // The kernel reads one bit less than it is told.
  const long refused = syscall(SYS_mbind, base, nbytes, detail::kMpolBind, mask.data(),
                               mask.size() * kWordBits + 1, 0);
  if (refused == 0) return true;
  why = std::string("mbind: ") + std::strerror(errno);
  return false;
}

// Whether mbind works here; containers often forbid it.
inline bool numa_binding_works(std::string& why) {
  if (numa_nodes().empty()) {
    why = "the system lists no NUMA nodes";
    return false;
  }
  void* page = detail::map_anonymous(kPageBytes, 0);
  if (page == nullptr) {
    why = std::string("mmap: ") + std::strerror(errno);
    return false;
  }
  const bool works = bind_to_node(page, kPageBytes, numa_nodes().front(), why);
  munmap(page, kPageBytes);
  return works;
}

// The system's choice among bracketed words: "always [madvise] never" gives "madvise"; "" if
// absent.
inline std::string huge_page_policy(bool shared) {
  const std::string line =
      detail::first_line(shared ? "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
                                : "/sys/kernel/mm/transparent_hugepage/enabled");
  const std::size_t open = line.find('['), close = line.find(']');
  if (open == std::string::npos || close == std::string::npos) return "";
  return line.substr(open + 1, close - open - 1);
}

inline bool advise_huge_pages(void* base, std::size_t nbytes, bool shared, std::string& why) {
  const std::string policy = huge_page_policy(shared);
  const bool allowed = shared ? policy == "advise" || policy == "always" ||
                                    policy == "within_size" || policy == "force"
                              : policy == "madvise" || policy == "always";
  if (!allowed) {
    why = "transparent huge pages are " +
          (policy.empty() ? "not built into the kernel" : "'" + policy + "'");
    return false;
  }
  if (madvise(base, nbytes, MADV_HUGEPAGE) != 0) {
    why = std::string("madvise(MADV_HUGEPAGE): ") + std::strerror(errno);
    return false;
  }
  return true;
}

// mlock, after raising the soft limit if that is all it takes.
inline bool lock_pages(const void* base, std::size_t nbytes, std::string& why) {
  if (nbytes == 0 || mlock(base, nbytes) == 0) return true;
  int error = errno;
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
      if (mlock(base, nbytes) == 0) return true;
      error = errno;
    }
  }
  why = "mlock of " + std::to_string(nbytes) + " bytes: " + std::strerror(error);
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    why += " (RLIMIT_MEMLOCK allows " + std::to_string(limit.rlim_cur) +
           " bytes in all; raise it with `ulimit -l`)";
  }
  return false;
}

inline void unlock_pages(const void* base, std::size_t nbytes) {
  if (nbytes > 0) munlock(base, nbytes);
}

inline bool range_is_mapped(const void* base, std::size_t nbytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(base) / kPageBytes * kPageBytes;
  const auto last = reinterpret_cast<std::uintptr_t>(base) + nbytes;
  std::vector<unsigned char> residency(std::size_t{1} << 16);
  const std::uintptr_t step = residency.size() * kPageBytes;
  for (std::uintptr_t at = first; at < last; at += step) {
    const std::size_t part = std::min<std::uintptr_t>(step, last - at);
    if (mincore(reinterpret_cast<void*>(at), part, residency.data()) != 0) return false;
  }
  return true;
}

// Maps nbytes (a multiple of the page size), binds them to `node` (-1: none) and asks for huge
// pages. Throws Fault OutOfMemory when the mapping or the placement is refused.
inline HostPages map_host_pages(std::size_t nbytes, int node, bool huge) {
  HostPages pages;
  pages.nbytes = nbytes;
  const auto refuse = [&](const std::string& what) {
    if (pages.base != nullptr) munmap(pages.base, nbytes);
    return Fault(Fault::Kind::OutOfMemory, "the operating system refused " +
                                               std::to_string(nbytes) +
                                               " bytes of host memory: " + what);
  };
  if (huge && nbytes % kHugePageBytes == 0) {
    pages.base = detail::map_anonymous(nbytes, MAP_HUGETLB);
    if (pages.base != nullptr) {
      pages.huge = true;
      pages.note = "huge pages from the reserved pool (MAP_HUGETLB)";
    } else {
      pages.base = detail::map_aligned(nbytes);
      std::string why;
      if (pages.base != nullptr) pages.huge = advise_huge_pages(pages.base, nbytes, false, why);
      detail::append_sentence(pages.note, pages.huge ? "transparent huge pages (MADV_HUGEPAGE)"
                                                     : "no huge pages: " + why);
    }
  } else {
    pages.base = detail::map_anonymous(nbytes, 0);
  }
  if (pages.base == nullptr) throw refuse(std::string("mmap: ") + std::strerror(errno));
  std::string why;
  if (node >= 0 && !bind_to_node(pages.base, nbytes, node, why)) throw refuse(why);
  return pages;
}

inline void unmap_host_pages(void* base, std::size_t nbytes) { munmap(base, nbytes); }

}  // namespace accel
