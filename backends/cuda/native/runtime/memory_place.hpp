// Where memory lies, as the driver knows it: asked before a copy or a kernel is given an address.
//
//   const Place place = place_of_host(pointer, nbytes);
//   if (!place.reachable_from(device)) ...   // a kernel there must not touch it
#pragma once

#include <cstddef>
#include <cstdint>

#include "../driver/device.hpp"

namespace accel_cuda {

struct Place {
  enum class Kind {
    Device,    // of `device`
    Pinned,    // page-locked host memory, which kernels reach too, at its own address
    Managed,   // moves by itself
    Pageable,  // host memory that only copies reach, and only while the host waits
    Mixed,     // host memory that begins page-locked and does not end so: the driver refuses it
    Unknown,   // no memory that the driver knows of
  };
  Kind kind = Kind::Unknown;
  int device = -1;

  bool on_host() const {
    return kind == Kind::Pinned || kind == Kind::Pageable || kind == Kind::Mixed;
  }
  // Whether kernels of the device reach it without access to peers.
  bool reachable_from(int index) const {
    return kind == Kind::Pinned || kind == Kind::Managed ||
           (kind == Kind::Device && device == index);
  }
};

// What [pointer, pointer + nbytes) is, given that it is said to be host memory: never Unknown,
// since plain host memory is what the driver does not know. About 0.1 us; needs no context.
Place place_of_host(std::uintptr_t pointer, std::size_t nbytes);

// The same for what is said to be a device's: Unknown where the driver knows no such memory, or not
// all of the range, or it is of several devices.
Place place_of_device(std::uintptr_t pointer, std::size_t nbytes);

}  // namespace accel_cuda
