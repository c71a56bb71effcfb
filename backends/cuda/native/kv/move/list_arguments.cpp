#include "list_arguments.hpp"

namespace accel_cuda::kv {
DeviceList DeviceList::from(std::int64_t first) const {
  DeviceList result = *this;
  if (first == 0) return result;
  if (where == Where::Host) result.values += first;
  if (where == Where::Device) {
    result.data += static_cast<DevicePointer>(first * stride * (wide ? 8 : 4));
  }
  return result;
}

void read_index_tensor(PyObject* object, const char* argument, int ndim, const Device& device,
                       accel::TensorView* view) {
  accel::read_indices(object, argument, ndim, view);
  if (view->is_cpu || (view->is_gpu && view->device_index == device.index)) return;
  accel::fail("DeviceError", argument,
              "an index tensor on the host or on cuda:" + std::to_string(device.index),
              accel::describe(accel::detail::attribute(object, accel::detail::names().device).get()));
}

ListArgument read_list(PyObject* object, const char* argument, const Device& device,
                       accel::TensorView* view) {
  read_index_tensor(object, argument, 1, device, view);
  ListArgument result;
  result.list = accel::column(*view, 0, view->strides[0]);
  if (!view->is_cpu) result.tensor = object;
  return result;
}

ListArgument read_column(PyObject* object, const accel::TensorView& view, std::int64_t column) {
  ListArgument result;
  result.list = accel::column(view, column * view.strides[1], view.strides[0]);
  if (!view.is_cpu) result.tensor = object;
  return result;
}

}  // namespace accel_cuda::kv
