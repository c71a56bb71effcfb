// Addresses and bytes apart: addresses are reserved, physical memory is made, one is mapped onto the
// other. A tensor may lie over several neighbouring mappings.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accel_sim/devices.hpp"

namespace accel_sim __attribute__((visibility("default"))) {

constexpr std::size_t kGranularity = 2ull << 20;

void* reserve_addresses(std::size_t bytes);
void release_addresses(void* address);  // throws while anything is mapped there

struct Physical;
// device nullptr: memory of the host, which the host may read through the mapping too.
Physical* make_physical(Device* device, std::size_t bytes);
void free_physical(Physical* physical);  // the bytes stay until their last mapping goes

void map_physical(void* address, std::size_t bytes, std::size_t offset, Physical* physical);
void unmap_physical(void* address);      // what one map_physical mapped there

std::uint64_t export_physical(Physical* physical, bool open_to_all);
void allow_physical_import(std::uint64_t handle, int pid);
Physical* import_physical(std::uint64_t handle, Device& device);

}  // namespace accel_sim
