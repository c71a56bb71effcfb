// The Python face of quantising: accel_cuda._native.quantize. accel_cuda/quantize.py is its caller.
#include <accel/quantize_operands.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "quantize_plan.hpp"
#include "runtime/stream.hpp"
#include "runtime/torch_streams.hpp"
#include "tools.hpp"

namespace py = pybind11;

namespace accel_cuda {
namespace arith {
namespace {

using accel::quantize::Arguments;
using accel::quantize::Problem;
using accel::quantize::Spec;

// A QuantSpec, resolved, and where its kernels come from.
struct Quantizer {
  std::shared_ptr<Tools> tools;
  Spec spec;
};

// False when nothing was done: see read_operands.
bool run(const Quantizer& quantizer, const Arguments& arguments, py::handle stream, bool back,
         bool checked) {
  Problem problem;
  int index = 0;
  if (!accel::quantize::read_operands(quantizer.spec, arguments, back, checked, &problem, &index)) {
    return false;
  }
  DeviceTools& tools = quantizer.tools->on(index);
  const StreamHandle target = resolve_stream(stream, tools.device);
  std::vector<QuantizeLaunch> launches =
      plan_quantize(problem, back, ChipLimits::of(tools.device));
  if (launches.empty()) return true;
  std::vector<Function> functions;
  for (QuantizeLaunch& one : launches) {
    functions.push_back(tools.function(one.variant));
    if (one.takes_turns) {
      const unsigned most =
          tools.resident(functions.back(), one.cluster, one.block, one.shared_bytes);
      one.grid = std::min(one.grid, most * one.cluster);
    }
    if (one.workspace == 0) continue;
    const Current current(tools.device);
    one.columns.workspace = tools.zeroed(one.workspace, target);
  }
  {
    const Submission submission(tools.runtime);
    for (std::size_t i = 0; i < launches.size(); ++i) {
      const QuantizeLaunch& one = launches[i];
      launch_clusters(tools.device, functions[i], one.grid, one.cluster, one.block,
                      one.shared_bytes, target, one.args());
    }
  }
  for (PyObject* const operand : arguments.object) {
    if (operand != Py_None) record_use(tools.runtime, target, operand);
  }
  return true;
}

bool run_quantize(const Quantizer& quantizer, py::handle x, py::handle codes, py::handle scales,
                  py::handle offsets, py::handle stream, bool checked) {
  return run(quantizer, {{x.ptr(), codes.ptr(), scales.ptr(), offsets.ptr()}}, stream, false,
             checked);
}

bool run_dequantize(const Quantizer& quantizer, py::handle codes, py::handle scales,
                    py::handle offsets, py::handle out, py::handle stream, bool checked) {
  return run(quantizer, {{out.ptr(), codes.ptr(), scales.ptr(), offsets.ptr()}}, stream, true,
             checked);
}

// For tests: the launches for operands in host memory, as (file, kernel, defines, grid, block, shared
// bytes, arguments); None when read_operands says no. `workspace`: the address of zeroed memory.
py::object plan(const Quantizer& quantizer, py::handle values, py::handle codes, py::handle scales,
                py::handle offsets, bool back, std::uint64_t workspace, int multiprocessors,
                int cluster, int shared_bytes) {
  Problem problem;
  const Arguments arguments{{values.ptr(), codes.ptr(), scales.ptr(), offsets.ptr()}};
  if (!accel::quantize::read_operands(quantizer.spec, arguments, back, false, &problem)) {
    return py::none();
  }
  py::list made;
  for (QuantizeLaunch& one : plan_quantize(problem, back, {multiprocessors, cluster, shared_bytes})) {
    one.columns.workspace = workspace;
    const auto* const args = static_cast<const char*>(one.args());
    const std::size_t size = one.by_columns ? sizeof one.columns : sizeof one.segments;
    const KernelEntry& entry = entry_of(one.variant);
    made.append(py::make_tuple(entry.file, entry.kernel, defines_of(one.variant), one.grid,
                               one.block, one.shared_bytes, py::bytes(args, size)));
  }
  return made;
}

}  // namespace
}  // namespace arith

void bind_quantize(py::module_& module) {
  using namespace arith;
  py::class_<Tools, std::shared_ptr<Tools>>(module, "ArithmeticTools",
                                            "What arithmetic kernels share on the host.")
      .def(py::init<py::object>(), py::arg("find"))
      .def("prepare", [](Tools& tools, int device_index) { tools.on(device_index); },
           py::arg("device_index"), "Takes the memory that calls will need.");
  auto part = module.def_submodule("quantize", "Quantising; called by accel_cuda.quantize only.");
  py::class_<Quantizer>(part, "Spec", "accel.kv.QuantSpec, resolved.")
      .def(py::init([](std::shared_ptr<Tools> tools, const std::string& dtype,
                       const std::string& axis, std::int64_t group_size, bool symmetric, int zero,
                       int lowest, int highest, float steps) {
             return Quantizer{std::move(tools),
                              accel::quantize::make_spec(dtype, axis, group_size, symmetric, zero,
                                                         lowest, highest, steps)};
           }),
           py::arg("tools"), py::arg("dtype"), py::arg("axis"), py::arg("group_size"),
           py::arg("symmetric"), py::arg("zero"), py::arg("lowest"), py::arg("highest"),
           py::arg("steps"))
      .def("quantize", &run_quantize)
      .def("dequantize", &run_dequantize)
      .def("plan", &plan, py::arg("values"), py::arg("codes"), py::arg("scales"),
           py::arg("offsets"), py::kw_only(), py::arg("back"), py::arg("workspace"),
           py::arg("multiprocessors"), py::arg("cluster"), py::arg("shared_bytes"));
}

}  // namespace accel_cuda
