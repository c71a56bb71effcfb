// The Python face of conversions: writes with scales and whole caches. accel_cpu/kv_conversions.py
// is its only caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <accel/errors.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/submit.hpp"
#include "elements.hpp"
#include "handles.hpp"
#include "scale_arguments.hpp"
#include "shared_bytes.hpp"

namespace py = pybind11;

namespace accel_cpu::kv {
namespace {

using accel::fail;
using accel::raise_fault;
using accel::read_slots;
using accel::read_tensor;
using accel::SlotList;
using accel::SlotPairs;
using accel::TensorView;

// False when no plan for these tensors is known, or a scale is not of the usual kinds: nothing was
// done then.
bool run_write_quantized(const Writer& writer, py::handle cache, std::int64_t layer, py::handle key,
                         py::handle value, py::handle slot_mapping, py::handle key_scale,
                         py::handle value_scale, py::handle stream) {
  static constexpr const char* kScales[] = {"key_scale", "value_scale"};
  TensorView views[2];
  const int count = value.is_none() ? 1 : 2;
  if (value_scale.is_none() != value.is_none()) return false;
  read_tensor(key.ptr(), "key", &views[0]);
  if (count == 2) read_tensor(value.ptr(), "value", &views[1]);
  if (views[0].ndim < 1) return false;
  const std::int64_t tokens = views[0].shape[0];
  TokenScale scales[2];
  ScaleForm form;
  form.quantized = true;
  for (int i = 0; i < count; ++i) {
    const py::handle given = i == 0 ? key_scale : value_scale;
    if (!scales[i].read(given.ptr(), kScales[i], tokens, writer.heads(i, count))) return false;
    form.per_head[i] = scales[i].per_head();
  }
  const WritePlan* plan = writer.find(layer, views, count, form);
  if (plan == nullptr) return false;
  TensorView slots_view;
  const SlotList slots = read_slots(slot_mapping.ptr(), "slot_mapping", &slots_view);
  if (slots.size > tokens) {
    fail("ShapeError", "slot_mapping", "at most " + std::to_string(tokens) + " indices as key has",
         std::to_string(slots.size));
  }
  const auto target = resolve_stream(stream);
  writer.check(cache.ptr(), layer);
  SlotList token_list;
  token_list.size = slots.size;
  SlotPairs pairs;
  const auto fault = accel::check_slots(token_list, slots, tokens, writer.slots, false, &pairs);
  if (fault) raise_fault(fault, "key", "slot_mapping");
  if (pairs.src.empty()) return true;
  std::vector<ScaleTable> tables;
  for (int i = 0; i < count; ++i) tables.push_back(scales[i].table(kScales[i], pairs.src));
  Bound bound = writer.bind(*plan, layer, views, count);
  if (writer.may_share(layer, views, count)) {
    refuse_shared_bytes(bound, pairs, "slot_mapping", &plan->dst_planes);
  }
  const auto bytes = bound.unit_bytes() * static_cast<std::int64_t>(pairs.src.size());
  submit(
      target,
      [planes = plan->elements, src = std::move(bound.src), dst = std::move(bound.dst),
       pairs = std::move(pairs),
       tables = std::move(tables)] { write_elements(*planes, src, dst, pairs, tables); },
      target->runs_inline() ? Keepalive() : Keepalive({cache.ptr(), key.ptr(), value.ptr()}),
      static_cast<std::size_t>(bytes));
  return true;
}

// Two caches prepared for conversion.
struct Converter {
  std::vector<ElementPlane> planes;
  Addresses src, dst;
  accel::CacheMemory src_memory, dst_memory;
  std::int64_t units = 0;
};

std::shared_ptr<Converter> make_converter(const py::bytes& plan,
                                          const std::vector<std::string>& src_dtypes,
                                          const std::vector<std::string>& dst_dtypes,
                                          const Addresses& src_pointers,
                                          const Addresses& dst_pointers,
                                          const Addresses& src_tensors,
                                          const Addresses& dst_tensors, std::int64_t units) {
  auto made = std::make_shared<Converter>();
  made->planes = unpack_elements(plan, src_dtypes, dst_dtypes);
  if (src_pointers.size() != dst_pointers.size() || src_pointers.empty() ||
      src_pointers.size() % made->planes.size() != 0) {
    throw std::invalid_argument("a base address for every layer and plane");
  }
  made->src = src_pointers;
  made->dst = dst_pointers;
  made->src_memory.tensors = src_tensors;
  made->dst_memory.tensors = dst_tensors;
  made->units = units;
  return made;
}

// The scales are None, or tensors that accel.kv.scales.check_scales has seen.
void run_convert(const std::shared_ptr<Converter>& converter, py::handle src, py::handle dst,
                 py::handle src_scales, bool src_per_head, py::handle dst_scales,
                 bool dst_per_head, py::handle stream) {
  const auto target = resolve_stream(stream);
  converter->src_memory.check(src.ptr(), "src");
  converter->dst_memory.check(dst.ptr(), "dst");
  ScaleTable multiply = read_cache_scales(src_scales.ptr(), "src_scale", src_per_head);
  ScaleTable divide = read_cache_scales(dst_scales.ptr(), "dst_scale", dst_per_head);
  std::int64_t elements = 0;
  for (const auto& plane : converter->planes) elements += plane.elements();
  const auto places = static_cast<std::int64_t>(converter->src.size() / converter->planes.size());
  submit(
      target,
      [converter, multiply = std::move(multiply), divide = std::move(divide)] {
        convert_elements(converter->planes, converter->src, converter->dst, converter->units,
                         multiply, divide);
      },
      target->runs_inline() ? Keepalive() : Keepalive({src.ptr(), dst.ptr()}),
      static_cast<std::size_t>(elements * places * converter->units));
}

}  // namespace
}  // namespace accel_cpu::kv

void bind_conversions(py::module_& kv) {
  using namespace accel_cpu::kv;
  py::class_<Converter, std::shared_ptr<Converter>>(kv, "Converter",
                                                    "Two caches prepared for conversion.")
      .def(py::init(&make_converter), py::arg("plan"), py::arg("src_dtypes"), py::arg("dst_dtypes"),
           py::arg("src_pointers"), py::arg("dst_pointers"), py::arg("src_tensors"),
           py::arg("dst_tensors"), py::arg("units"));
  kv.def("convert", &run_convert);
  kv.def("write_quantized", &run_write_quantized);
}
