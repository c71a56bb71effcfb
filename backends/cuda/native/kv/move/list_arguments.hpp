// Index tensors as a call gives them: on the host, or on the device.
#pragma once

#include <accel/index_arguments.hpp>

#include "driver/device.hpp"

namespace accel_cuda::kv {

// Where the indices of one side are when a kernel is launched.
struct DeviceList {
  enum class Where { Counted, Host, Device } where = Where::Counted;
  const std::int64_t* values = nullptr;  // Host
  DevicePointer data = 0;                // Device
  std::int64_t stride = 1;               // Device: elements
  bool wide = true;                      // Device: int64, else int32

  // From unit `first` on.
  DeviceList from(std::int64_t first) const;
};

// A list as it was given; without a tensor and without data, the indices 0, 1, 2, ...
struct ListArgument {
  accel::SlotList list;        // on the device: `data` is its address there
  PyObject* tensor = nullptr;  // borrowed; set where the indices are on the device

  DeviceList on_device() const {
    DeviceList result;
    result.where = DeviceList::Where::Device;
    result.data = reinterpret_cast<DevicePointer>(list.data);
    result.stride = list.stride;
    result.wide = list.wide;
    return result;
  }
};

// An index tensor of `ndim` axes, on the host or on this device; raises DTypeError, ShapeError,
// DeviceError.
void read_index_tensor(PyObject* object, const char* argument, int ndim, const Device& device,
                       accel::TensorView* view);

// One axis. `view` must outlive the result.
ListArgument read_list(PyObject* object, const char* argument, const Device& device,
                       accel::TensorView* view);

// A column of a tensor of two axes.
ListArgument read_column(PyObject* object, const accel::TensorView& view, std::int64_t column);

}  // namespace accel_cuda::kv
