// What an inter-process handle carries besides the driver's bytes: whose it is and of what device.
//
// The driver takes any 64 bytes and may take a dead process's; what is refused here is refused with
// a reason.
#pragma once

#include <string>

#include "../driver/device.hpp"

namespace accel_cuda {

// The driver's handle in an envelope that names this process and the device.
std::string seal_ipc_handle(const Device& device, const IpcEventHandle& handle);

// The reverse. Raises ArgumentError naming `handle` for bytes that are none, of another device, or
// whose maker has ended.
IpcEventHandle open_ipc_handle(const Device& device, const std::string& bytes);

}  // namespace accel_cuda
