// The Python module _torch_cncl.
#include <pybind11/chrono.h>
#include <torch/csrc/utils/pybind.h>

#include "process_group.hpp"

PYBIND11_MODULE(_torch_cncl, module) {
  namespace py = pybind11;
  using torch_cncl::ProcessGroupCNCL;
  using Release = py::call_guard<py::gil_scoped_release>;
  py::module_::import("torch.distributed");  // makes c10d's own types known
  py::class_<ProcessGroupCNCL, c10d::Backend, c10::intrusive_ptr<ProcessGroupCNCL>>(
      module, "ProcessGroupCNCL")
      .def(py::init([](const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                       std::chrono::milliseconds timeout, std::string name, bool high_priority) {
             py::gil_scoped_release release;
             return c10::make_intrusive<ProcessGroupCNCL>(store, rank, size, timeout,
                                                          std::move(name), high_priority);
           }),
           py::arg("store"), py::arg("rank"), py::arg("size"), py::arg("timeout"),
           py::arg("name") = "cncl", py::arg("high_priority") = false)
      .def("abort", &ProcessGroupCNCL::abort, Release())
      .def("shutdown", &ProcessGroupCNCL::shutdown, Release())
      .def("_set_default_timeout", &ProcessGroupCNCL::setTimeout, py::arg("timeout"), Release());
}
