// Page-locked, placed and huge host pages, from the operating system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace accel_cpu {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Anonymous pages. What the system refused is said in `note`, one sentence each.
struct HostPages {
  void* base = nullptr;
  std::size_t nbytes = 0;
  bool locked = false;
  bool huge = false;
  std::string note;
};

// Maps nbytes (a multiple of the page size), binds them to `node` (-1: none), asks for huge pages,
// and locks them. Throws Fault OutOfMemory when the mapping or the placement is refused.
HostPages map_host_pages(std::size_t nbytes, int node, bool huge);
void unmap_host_pages(void* base, std::size_t nbytes);

// mlock, after raising the soft limit if that is all it takes. False with the reason in `why`.
bool lock_pages(const void* base, std::size_t nbytes, std::string& why);
void unlock_pages(const void* base, std::size_t nbytes);
bool range_is_mapped(const void* base, std::size_t nbytes);

// False with the reason in `why`.
bool bind_to_node(void* base, std::size_t nbytes, int node, std::string& why);
bool advise_huge_pages(void* base, std::size_t nbytes, bool shared, std::string& why);

const std::vector<int>& numa_nodes();  // online nodes
// Whether mbind works here; containers often forbid it.
bool numa_binding_works(std::string& why);
// The system's choice among bracketed words: "always [madvise] never" gives "madvise"; "" if
// absent.
std::string huge_page_policy(bool shared);

}  // namespace accel_cpu
