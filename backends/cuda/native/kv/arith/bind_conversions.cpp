// The Python face of conversions: writes with scales and whole caches, in accel_cuda._native.kv.
// accel.native_kernels.conversions is their caller.
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "conversions.hpp"

namespace py = pybind11;

namespace accel_cuda {

void bind_conversions(py::module_& module) {
  using namespace arith;
  py::module_ kv = module.attr("kv");
  py::class_<Converter>(kv, "Converter", "Two caches prepared for conversion.")
      .def(py::init<std::shared_ptr<Tools>, int, const py::bytes&, const std::vector<std::string>&,
                    const std::vector<std::string>&, const Addresses&, const Addresses&,
                    const Addresses&, const Addresses&, std::int64_t>(),
           py::arg("tools"), py::arg("device_index"), py::arg("plan"), py::arg("src_dtypes"),
           py::arg("dst_dtypes"), py::arg("src_pointers"), py::arg("dst_pointers"),
           py::arg("src_tensors"), py::arg("dst_tensors"), py::arg("units"));
  kv.def("convert", &Converter::run);
  py::class_<CodeWriter>(kv, "CodeWriter", "A cache that new tokens are written to as codes.")
      .def(py::init<std::shared_ptr<Tools>, int, std::vector<std::int64_t>, std::int64_t,
                    Addresses, std::vector<std::int64_t>, const Addresses&,
                    std::vector<std::vector<std::size_t>>>(),
           py::arg("tools"), py::arg("device_index"), py::arg("heads"), py::arg("slots"),
           py::arg("pointers"), py::arg("spans"), py::arg("tensors"), py::arg("tensors_of_layer"))
      .def("add_quantized", &CodeWriter::add_quantized);
  kv.def("write_quantized", &CodeWriter::write);
}

}  // namespace accel_cuda
