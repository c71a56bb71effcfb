// Sizes at which copies change from one way to another, measured on an H200 (PCIe 5 x16).
#pragma once

#include <cstddef>

namespace accel_cuda {

struct CopyLimits {
  // Within the device: up to here a kernel of ours, which is given sooner than the driver gives its
  // own, and heeds the stream's priority. Large copies are a few percent faster by the driver's.
  std::size_t kernel_on_device = std::size_t{16} << 20;
  // Of a batch, copies within the device, and from and to the host: up to here one kernel for all
  // of them, beyond the copy engines, which take about 1 us for each.
  std::size_t batch_on_device = std::size_t{1} << 20;
  std::size_t batch_with_host = std::size_t{256} << 10;
  // Rows from and to the host: from this width on the copy engines, which run at nearly full rate.
  std::size_t rows_by_engine = 128;
  // Within the device: rows of at least so many units go to the kernel for rows.
  std::size_t rows_from = 96;
};

// Those in use; the GIL guards them. Tests and measurements change them.
inline CopyLimits& copy_limits() {
  static CopyLimits limits;
  return limits;
}

}  // namespace accel_cuda
