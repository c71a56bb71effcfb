// The Python face of quantising: accel_cpu._native.quantize. accel_cpu/quantize.py is its caller.
#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <accel/quantize_operands.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/submit.hpp"
#include "problem.hpp"

namespace py = pybind11;

namespace accel_cpu::quantize {
namespace {

using accel::quantize::Arguments;
using accel::quantize::read_operands;

// False when nothing was done: see read_operands.
bool run(const Spec& spec, const Arguments& arguments, py::handle stream, bool back, bool checked) {
  Problem problem;
  if (!read_operands(spec, arguments, back, checked, &problem)) return false;
  const auto nbytes = static_cast<std::size_t>(problem.elements()) *
                      (1 + numeric::size_of(problem.values));
  const auto& o = arguments.object;
  submit(
      stream,
      [problem = std::move(problem), back] {
        if (back) {
          dequantize(problem);
        } else {
          quantize(problem);
        }
      },
      {o[kValues], o[kCodes], o[kScales], o[kOffsets]}, nbytes);
  return true;
}

bool run_quantize(const Spec& spec, py::handle x, py::handle codes, py::handle scales,
                  py::handle offsets, py::handle stream, bool checked) {
  return run(spec, {{x.ptr(), codes.ptr(), scales.ptr(), offsets.ptr()}}, stream, false, checked);
}

bool run_dequantize(const Spec& spec, py::handle codes, py::handle scales, py::handle offsets,
                    py::handle out, py::handle stream, bool checked) {
  return run(spec, {{out.ptr(), codes.ptr(), scales.ptr(), offsets.ptr()}}, stream, true, checked);
}

}  // namespace
}  // namespace accel_cpu::quantize

namespace accel_cpu {

void bind_quantize(py::module_& module) {
  using namespace quantize;
  auto part = module.def_submodule("quantize", "Quantising; called by accel_cpu.quantize only.");
  py::class_<Spec>(part, "Spec", "accel.kv.QuantSpec, resolved.")
      .def(py::init(&accel::quantize::make_spec), py::arg("dtype"), py::arg("axis"), py::arg("group_size"),
           py::arg("symmetric"), py::arg("zero"), py::arg("lowest"), py::arg("highest"),
           py::arg("steps"))
      .def("quantize", &run_quantize)
      .def("dequantize", &run_dequantize);
}

}  // namespace accel_cpu
