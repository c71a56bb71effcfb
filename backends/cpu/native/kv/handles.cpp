#include "handles.hpp"

#include <accel/tensor_bounds.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace accel_cpu::kv {

using accel::read_tensor;
using accel::TensorView;

namespace {

namespace py = pybind11;

// More combinations of strides than an engine has; a caller that has more plans anew.
constexpr std::size_t kMostPlans = 64;

bool fits(const WritePlan::Source& source, const TensorView& view, std::int64_t tokens) {
  if (source.dtype != view.dtype || !view.is_cpu || view.shape[0] != tokens) return false;
  return static_cast<std::size_t>(view.ndim) == source.strides.size() &&
         std::equal(source.extents.begin(), source.extents.end(), view.shape + 1) &&
         std::equal(source.strides.begin(), source.strides.end(), view.strides);
}

}  // namespace

numeric::Kind kind_named(const std::string& dtype) {
  numeric::Kind kind;
  if (!numeric::kind_from_name(dtype.c_str(), &kind)) {
    throw std::invalid_argument("no kind of number: " + dtype);
  }
  return kind;
}

std::vector<ElementPlane> unpack_elements(const py::bytes& plan,
                                          const std::vector<std::string>& src_dtypes,
                                          const std::vector<std::string>& dst_dtypes) {
  const auto packed = accel::unpack_plan<accel_kv_elements>(plan);
  if (packed.size() != src_dtypes.size() || packed.size() != dst_dtypes.size()) {
    throw std::invalid_argument("two dtypes for every plane");
  }
  std::vector<ElementPlane> planes;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    planes.emplace_back(packed[i], kind_named(src_dtypes[i]), kind_named(dst_dtypes[i]));
  }
  return planes;
}

std::unique_ptr<Pair> make_pair(std::int64_t layers, const py::bytes& plan,
                                const Addresses& src_pointers, const Addresses& dst_pointers,
                                const Addresses& src_tensors, const Addresses& dst_tensors,
                                std::int64_t src_units, std::int64_t dst_units,
                                const std::string& sharing) {
  auto bound = std::make_shared<Bound>();
  bound->layers = layers;
  bound->planes = accel::unpack_plan<accel_kv_plane>(plan);
  bound->src = src_pointers;
  bound->dst = dst_pointers;
  const auto bases = static_cast<std::size_t>(layers) * bound->planes.size();
  if (layers < 1 || bound->src.size() != bases || bound->dst.size() != bases) {
    throw std::invalid_argument("a base address for every layer and plane");
  }
  auto pair = std::make_unique<Pair>();
  pair->unit_bytes = bound->unit_bytes();
  pair->bound = std::make_shared<const Bound>(fold_layers(std::move(*bound)));
  pair->src_memory.tensors = src_tensors;
  pair->dst_memory.tensors = dst_tensors;
  pair->src_units = src_units;
  pair->dst_units = dst_units;
  if (sharing == "same") {
    pair->sharing = Sharing::Same;
  } else if (sharing == "partial") {
    pair->sharing = Sharing::Partial;
  } else if (sharing != "none") {
    throw std::invalid_argument("sharing is none, same or partial");
  }
  return pair;
}

std::unique_ptr<Writer> make_writer(const std::vector<std::int64_t>& heads, std::int64_t slots,
                                    const Addresses& pointers,
                                    const std::vector<std::int64_t>& spans,
                                    const Addresses& tensors,
                                    const std::vector<std::vector<std::size_t>>& tensors_of_layer) {
  const std::size_t planes = heads.size();
  if (planes == 0 || spans.size() != planes ||
      pointers.size() != planes * tensors_of_layer.size()) {
    throw std::invalid_argument("an address for every layer and plane, a span for every plane");
  }
  for (const auto& which : tensors_of_layer) {
    for (const std::size_t i : which) {
      if (i >= tensors.size()) throw std::invalid_argument("tensors_of_layer: no such tensor");
    }
  }
  auto writer = std::make_unique<Writer>();
  writer->planes_ = planes;
  writer->heads_ = heads;
  writer->slots = slots;
  writer->pointers_ = pointers;
  writer->spans_ = spans;
  writer->memory_.tensors = tensors;
  writer->tensors_of_layer_ = tensors_of_layer;
  return writer;
}

const WritePlan* Writer::find(std::int64_t layer, const TensorView* views, int count,
                              const ScaleForm& form) const {
  if (layer < 0 || layer >= static_cast<std::int64_t>(tensors_of_layer_.size())) return nullptr;
  if (views[0].ndim < 1) return nullptr;
  const std::int64_t tokens = views[0].shape[0];
  for (auto plan = plans_.rbegin(); plan != plans_.rend(); ++plan) {
    const auto& sources = (*plan)->sources;
    if (static_cast<int>(sources.size()) != count || !((*plan)->form == form)) continue;
    if (views[count - 1].ndim < 1) return nullptr;
    if (fits(sources[0], views[0], tokens) &&
        (count == 1 || fits(sources[1], views[1], tokens))) {
      return plan->get();
    }
  }
  return nullptr;
}

void Writer::add(py::handle key, py::handle value, const py::bytes& plan,
                 const Targets& targets) {
  auto made = std::make_unique<WritePlan>();
  made->planes = accel::unpack_plan<accel_kv_plane>(plan);
  made->targets = targets;
  keep(key, value, std::move(made));
}

void Writer::add_quantized(py::handle key, py::handle value, const py::bytes& plan,
                           const Targets& targets, const std::vector<std::string>& src_dtypes,
                           const std::vector<std::string>& dst_dtypes,
                           const std::vector<bool>& per_head) {
  auto made = std::make_unique<WritePlan>();
  auto elements = unpack_elements(plan, src_dtypes, dst_dtypes);
  for (const auto& plane : elements) {
    made->planes.push_back(plane.src_bytes());
    made->dst_planes.push_back(plane.dst_bytes());
  }
  made->elements = std::make_shared<const std::vector<ElementPlane>>(std::move(elements));
  made->form.quantized = true;
  if (per_head.size() > 2) throw std::invalid_argument("per_head: one or two sources");
  std::copy(per_head.begin(), per_head.end(), made->form.per_head);
  made->targets = targets;
  keep(key, value, std::move(made));
}

void Writer::keep(py::handle key, py::handle value, std::unique_ptr<WritePlan> plan) {
  for (const auto& [tensor, name] : {std::pair(key, "key"), std::pair(value, "value")}) {
    if (tensor.is_none()) continue;
    TensorView view;
    read_tensor(tensor.ptr(), name, &view);
    plan->sources.push_back({view.dtype,
                             {view.shape + 1, view.shape + view.ndim},
                             {view.strides, view.strides + view.ndim}});
  }
  if (plan->sources.size() != plan->planes.size() ||
      plan->targets.size() != plan->planes.size()) {
    throw std::invalid_argument("a plane and a target for every tensor");
  }
  for (const auto& target : plan->targets) {
    if (target.first >= planes_) throw std::invalid_argument("targets: no such plane");
  }
  if (plans_.size() >= kMostPlans) plans_.erase(plans_.begin());
  plans_.push_back(std::move(plan));
}

void Writer::check(PyObject* cache, std::int64_t layer) const {
  memory_.check(cache, "cache", tensors_of_layer_[static_cast<std::size_t>(layer)]);
}

Bound Writer::bind(const WritePlan& plan, std::int64_t layer, const TensorView* views,
                   int count) const {
  Bound bound;
  bound.layers = 1;
  bound.planes = plan.planes;
  for (int i = 0; i < count; ++i) {
    const auto& [plane, offset] = plan.targets[static_cast<std::size_t>(i)];
    bound.src.push_back(views[i].data);
    bound.dst.push_back(pointers_[static_cast<std::size_t>(layer) * planes_ + plane] +
                        static_cast<std::uintptr_t>(offset));
  }
  return bound;
}

bool Writer::may_share(std::int64_t layer, const TensorView* views, int count) const {
  // The itemsize is at most 16; some bytes too many only cost the exact check.
  const std::uintptr_t* const bases = &pointers_[static_cast<std::size_t>(layer) * planes_];
  return accel::any_meets(views, count, 16, bases, spans_);
}

}  // namespace accel_cpu::kv
