#include <accel/kv_overlap.hpp>
#include <accel/tensor_bounds.hpp>
#include <algorithm>
#include <cfloat>
#include <cstdio>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "conversions.hpp"
#include "kv/move/list_arguments.hpp"
#include "runtime/stream.hpp"
#include "runtime/torch_streams.hpp"

namespace accel_cuda::arith {
namespace {

namespace py = pybind11;
using accel::fail;
using accel::TensorView;

// More combinations of strides than an engine has; a caller that has more plans anew.
constexpr std::size_t kMostPlans = 64;

bool fits(const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& strides,
          const TensorView& view, std::int64_t tokens) {
  return view.ndim >= 1 && view.shape[0] == tokens &&
         static_cast<std::size_t>(view.ndim) == strides.size() &&
         std::equal(extents.begin(), extents.end(), view.shape + 1) &&
         std::equal(strides.begin(), strides.end(), view.strides);
}

// A scale of `write`: a number, or float32 on the device in one of the shapes that
// accel.kv.scales.token_scales takes.
struct TokenScale {
  accel_convert_scale scale = {};
  bool per_head = false;
  PyObject* tensor = nullptr;

  // False for anything else, and for a number that is no scale: token_scales has the words.
  bool read(PyObject* object, const char* argument, std::int64_t tokens, std::int64_t heads,
            int device_index) {
    if (PyFloat_Check(object) || PyLong_CheckExact(object)) {
      const double number = PyFloat_AsDouble(object);
      PyErr_Clear();  // an integer beyond any float; -1 stands for it
      scale.number = static_cast<float>(number);
      return scale.number > 0 && scale.number <= FLT_MAX;
    }
    if (!accel::is_tensor(object)) return false;
    TensorView view;
    accel::read_tensor(object, argument, &view);
    if (!view.is_float32 || !view.is_gpu || view.device_index != device_index || view.ndim > 2) {
      return false;
    }
    const std::int64_t last = view.ndim == 0 ? 1 : view.shape[view.ndim - 1];
    if (last != 1 && last != heads) return false;
    if (view.ndim == 2 && view.shape[0] != tokens) return false;
    scale.data = view.data;
    scale.unit_step = view.ndim == 2 ? view.strides[0] : 0;
    per_head = last > 1;
    scale.head_step = per_head ? view.strides[view.ndim - 1] : 0;
    tensor = object;
    return true;
  }
};

}  // namespace

CodeWriter::CodeWriter(std::shared_ptr<Tools> tools, int device_index,
                       std::vector<std::int64_t> heads, std::int64_t slots, Addresses pointers,
                       std::vector<std::int64_t> spans, const Addresses& tensors,
                       std::vector<std::vector<std::size_t>> tensors_of_layer)
    : tools_(tools->on(device_index)),
      owner_(std::move(tools)),
      planes_(heads.size()),
      heads_(std::move(heads)),
      slots_(slots),
      pointers_(std::move(pointers)),
      spans_(std::move(spans)),
      tensors_of_layer_(std::move(tensors_of_layer)) {
  if (planes_ == 0 || spans_.size() != planes_ ||
      pointers_.size() != planes_ * tensors_of_layer_.size()) {
    throw std::invalid_argument("an address for every layer and plane, a span for every plane");
  }
  for (const auto& which : tensors_of_layer_) {
    for (const std::size_t i : which) {
      if (i >= tensors.size()) throw std::invalid_argument("tensors_of_layer: no such tensor");
    }
  }
  memory_.tensors = tensors;
}

void CodeWriter::add_quantized(py::handle key, py::handle value, const py::bytes& packed,
                               const std::vector<std::pair<std::size_t, std::int64_t>>& targets,
                               const std::vector<std::string>& src_dtypes,
                               const std::vector<std::string>& dst_dtypes,
                               const std::vector<bool>& per_head) {
  auto plan = std::make_unique<Plan>();
  plan->planes = unpack_elements(packed, src_dtypes, dst_dtypes);
  plan->targets = targets;
  plan->per_head = per_head;
  for (const auto& [tensor, name] : {std::pair(key, "key"), std::pair(value, "value")}) {
    if (tensor.is_none()) continue;
    TensorView view;
    accel::read_tensor(tensor.ptr(), name, &view);
    plan->sources.push_back({view.dtype,
                             {view.shape + 1, view.shape + view.ndim},
                             {view.strides, view.strides + view.ndim}});
  }
  const std::size_t count = plan->sources.size();
  if (plan->planes.size() != count || targets.size() != count || per_head.size() != count) {
    throw std::invalid_argument("a plane, a target and a scale for every tensor");
  }
  for (const auto& target : targets) {
    if (target.first >= planes_) throw std::invalid_argument("targets: no such plane");
  }
  if (plans_.size() >= kMostPlans) plans_.erase(plans_.begin());
  plans_.push_back(std::move(plan));
}

const CodeWriter::Plan* CodeWriter::find(std::int64_t layer, const TensorView* views, int count,
                                         const bool* per_head) const {
  if (layer < 0 || layer >= static_cast<std::int64_t>(tensors_of_layer_.size())) return nullptr;
  const std::int64_t tokens = views[0].shape[0];
  for (auto plan = plans_.rbegin(); plan != plans_.rend(); ++plan) {
    const auto& sources = (*plan)->sources;
    if (static_cast<int>(sources.size()) != count) continue;
    bool good = true;
    for (int i = 0; i < count && good; ++i) {
      const Source& source = sources[static_cast<std::size_t>(i)];
      good = source.dtype == views[i].dtype && views[i].is_gpu &&
             views[i].device_index == tools_.device.index &&
             (*plan)->per_head[static_cast<std::size_t>(i)] == per_head[i] &&
             fits(source.extents, source.strides, views[i], tokens);
    }
    if (good) return plan->get();
  }
  return nullptr;
}

bool CodeWriter::may_share(std::int64_t layer, const TensorView* views, int count) const {
  // Values have at most 4 bytes; some too many only cost the exact check.
  const std::uintptr_t* const bases = &pointers_[static_cast<std::size_t>(layer) * planes_];
  return accel::any_meets(views, count, 4, bases, spans_);
}

bool CodeWriter::write(py::handle cache, std::int64_t layer, py::handle key, py::handle value,
                       py::handle slot_mapping, py::handle key_scale, py::handle value_scale,
                       py::handle stream) {
  static constexpr const char* kNames[] = {"key", "value"};
  static constexpr const char* kScales[] = {"key_scale", "value_scale"};
  const PyObject* const tensors[] = {key.ptr(), value.ptr()};
  TensorView views[2];
  const int count = value.is_none() ? 1 : 2;
  if (value_scale.is_none() != value.is_none()) return false;
  for (int i = 0; i < count; ++i) {
    accel::read_tensor(const_cast<PyObject*>(tensors[i]), kNames[i], &views[i]);
  }
  if (views[0].ndim < 1) return false;
  const std::int64_t tokens = views[0].shape[0];
  TokenScale scales[2];
  bool per_head[2] = {false, false};
  for (int i = 0; i < count; ++i) {
    const py::handle given = i == 0 ? key_scale : value_scale;
    if (!scales[i].read(given.ptr(), kScales[i], tokens, heads(i, count), tools_.device.index)) {
      return false;
    }
    per_head[i] = scales[i].per_head;
  }
  const Plan* const plan = find(layer, views, count, per_head);
  if (plan == nullptr) return false;
  TensorView slots_view;
  const kv::ListArgument slots =
      kv::read_list(slot_mapping.ptr(), "slot_mapping", tools_.device, &slots_view);
  if (slots.list.size > tokens) {
    fail("ShapeError", "slot_mapping", "at most " + std::to_string(tokens) + " indices as key has",
         std::to_string(slots.list.size));
  }
  const StreamHandle target = resolve_stream(stream, tools_.device);
  memory_.check(cache.ptr(), "cache", tensors_of_layer_[static_cast<std::size_t>(layer)]);

  std::vector<ElementPlane> planes = plan->planes;
  std::vector<std::uintptr_t> src, dst;
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto& [plane, offset] = plan->targets[at];
    src.push_back(views[i].data);
    dst.push_back(pointers_[static_cast<std::size_t>(layer) * planes_ + plane] +
                  static_cast<std::uintptr_t>(offset));
    planes[at].src_bases = src.back();
    planes[at].dst_bases = dst.back();
  }
  std::int64_t units = slots.list.size;
  accel::SlotPairs pairs;
  if (slots.tensor == nullptr) {
    accel::SlotList rows;
    rows.size = slots.list.size;
    const auto fault = accel::check_slots(rows, slots.list, tokens, slots_, false, &pairs);
    if (fault) accel::raise_fault(fault, "key", "slot_mapping");
    units = static_cast<std::int64_t>(pairs.src.size());
    if (units != 0 && may_share(layer, views, count)) {
      std::vector<accel_kv_plane> read, written;
      for (const ElementPlane& plane : planes) {
        read.push_back(plane.src_bytes());
        written.push_back(plane.dst_bytes());
      }
      std::uintptr_t address = 0;
      if (accel::reads_what_it_writes(1, read, written, src, dst, pairs, &address)) {
        char text[32];
        std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(address));
        fail("OverlapError", "slot_mapping", "destinations that share no byte with the sources",
             std::string("the byte at address ") + text +
                 " is in a run that is read and one that is written",
             "transfer through another cache, or in two calls");
      }
    }
  }
  if (units == 0) return true;

  std::vector<ConvertLaunch> launches = plan_convert(planes);
  std::vector<Function> functions;
  for (ConvertLaunch& one : launches) {
    functions.push_back(tools_.function(one.variant));
    one.args.bases_each = static_cast<unsigned>(count);
    one.args.fault = tools_.runtime.state(target).fault_address();
    for (int i = 0; i < count; ++i) {
      one.args.base[2 * i] = src[static_cast<std::size_t>(i)];
      one.args.base[2 * i + 1] = dst[static_cast<std::size_t>(i)];
    }
    for (std::size_t i = 0; i < one.planes.size(); ++i) {
      one.args.plane[i].dst_scale = scales[one.planes[i]].scale;
    }
    one.args.form = slots.tensor == nullptr ? ACCEL_CONVERT_PAIRS : ACCEL_CONVERT_SLOTS;
    one.args.slots = slots_;
    one.args.slot_step = slots.list.stride;
    one.args.wide = slots.list.wide ? 1 : 0;
  }
  std::optional<kv::IndexUploads::Slab> slab;
  const std::size_t bytes = static_cast<std::size_t>(units) * sizeof(accel_convert_pair);
  const bool listed = slots.tensor == nullptr, here = listed && units <= ACCEL_CONVERT_HERE;
  const Current current(tools_.device);
  accel_convert_pair* list = nullptr;
  if (listed && !here) {
    slab.emplace(tools_.uploads, bytes, target);
    list = reinterpret_cast<accel_convert_pair*>(slab->host());
    for (std::size_t i = 0; i < pairs.src.size(); ++i) list[i] = {pairs.src[i], pairs.dst[i]};
  } else if (here) {
    for (ConvertLaunch& one : launches) {
      for (std::size_t i = 0; i < pairs.src.size(); ++i) {
        one.args.here[i] = {pairs.src[i], pairs.dst[i]};
      }
    }
  }
  {
    const Submission submission(tools_.runtime);
    if (slab) slab->send(bytes);
    for (std::size_t i = 0; i < launches.size(); ++i) {
      ConvertLaunch& one = launches[i];
      for (std::int64_t first = 0; first < units; first += one.most_units()) {
        const std::int64_t some = std::min(units - first, one.most_units());
        one.args.first = first;
        one.args.units = static_cast<unsigned>(some);
        if (slab) {
          one.args.list = slab->device() + static_cast<std::uint64_t>(first) * sizeof *list;
        } else if (!listed) {
          const auto size = static_cast<std::int64_t>(slots.list.wide ? 8 : 4);
          one.args.list = reinterpret_cast<std::uintptr_t>(slots.list.data) +
                          static_cast<std::uint64_t>(first * slots.list.stride * size);
        }
        const auto rows = static_cast<unsigned>(one.planes.size());
        launch(tools_.device, functions[i], {one.blocks(some), rows}, ACCEL_CONVERT_THREADS, 0,
               target, &one.args);
      }
    }
  }
  streams_.tell(tools_.runtime, target, cache.ptr());
  record_use(tools_.runtime, target, key.ptr());
  if (count == 2) record_use(tools_.runtime, target, value.ptr());
  if (slots.tensor != nullptr) record_use(tools_.runtime, target, slots.tensor);
  for (int i = 0; i < count; ++i) {
    if (scales[i].tensor != nullptr) record_use(tools_.runtime, target, scales[i].tensor);
  }
  return true;
}

}  // namespace accel_cuda::arith
