// The Python face of quantising: accel_cpu._native.quantize. accel_cpu/quantize.py is its caller.
#include <pybind11/pybind11.h>

#include <accel/errors.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.hpp"
#include "bindings/submit.hpp"
#include "operands.hpp"
#include "problem.hpp"

namespace py = pybind11;

namespace accel_cpu::quantize {
namespace {

Code code_from_name(const std::string& name) {
  if (name == "int8") return Code::I8;
  if (name == "int4") return Code::I4;
  if (name == "uint8") return Code::U8;
  if (name == "float8_e4m3fn") return Code::E4M3;
  if (name == "float8_e5m2") return Code::E5M2;
  throw std::invalid_argument("no such codes: " + name);
}

Axis axis_from_name(const std::string& name) {
  if (name == "token") return Axis::Token;
  if (name == "channel") return Axis::Channel;
  if (name == "group") return Axis::Group;
  throw std::invalid_argument("no such axis: " + name);
}

Spec make_spec(const std::string& dtype, const std::string& axis, std::int64_t group_size,
               bool symmetric, int zero, int lowest, int highest, float steps) {
  Spec spec{code_from_name(dtype), axis_from_name(axis), group_size, symmetric, zero, lowest,
            highest,               steps};
  if ((spec.axis == Axis::Group) != (group_size > 0)) {
    throw std::invalid_argument("a group size with groups, and only with them");
  }
  return spec;
}

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
      .def(py::init(&make_spec), py::arg("dtype"), py::arg("axis"), py::arg("group_size"),
           py::arg("symmetric"), py::arg("zero"), py::arg("lowest"), py::arg("highest"),
           py::arg("steps"))
      .def("quantize", &run_quantize)
      .def("dequantize", &run_dequantize);
}

}  // namespace accel_cpu
