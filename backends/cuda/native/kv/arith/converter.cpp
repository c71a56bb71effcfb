#include <stdexcept>

#include "conversions.hpp"
#include "runtime/stream.hpp"
#include "runtime/torch_streams.hpp"

namespace accel_cuda::arith {
namespace {

namespace py = pybind11;
using accel::TensorView;

accel_convert_scale read_scales(PyObject* object, const char* argument, bool per_head,
                                std::size_t plane) {
  accel_convert_scale scale = {};
  scale.number = 1.0f;
  if (object == Py_None) return scale;
  TensorView view;
  accel::read_tensor(object, argument, &view);
  if (!view.is_float32 || view.ndim != 3) {
    throw std::invalid_argument("scales are float32 [layers, planes, heads]");
  }
  if (view.is_cpu) {  // a number's
    if (view.numel() != 0) scale.number = *reinterpret_cast<const float*>(view.data);
    return scale;
  }
  scale.data = view.data + 4 * static_cast<std::uint64_t>(static_cast<std::int64_t>(plane) *
                                                          view.strides[1]);
  scale.layer_step = view.strides[0];
  scale.head_step = per_head ? view.strides[2] : 0;
  return scale;
}

}  // namespace

std::vector<ElementPlane> unpack_elements(const py::bytes& plan,
                                          const std::vector<std::string>& src_dtypes,
                                          const std::vector<std::string>& dst_dtypes) {
  const auto packed = accel::unpack_plan<accel_kv_elements>(std::string_view(plan));
  if (packed.size() != src_dtypes.size() || packed.size() != dst_dtypes.size()) {
    throw std::invalid_argument("two dtypes for every plane");
  }
  std::vector<ElementPlane> planes(packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) {
    planes[i].plan = packed[i];
    if (!accel::kind_from_name(src_dtypes[i].c_str(), &planes[i].src) ||
        !accel::kind_from_name(dst_dtypes[i].c_str(), &planes[i].dst)) {
      throw std::invalid_argument("no kind of number: " + src_dtypes[i] + ", " + dst_dtypes[i]);
    }
  }
  return planes;
}

Converter::Converter(std::shared_ptr<Tools> tools, int device_index, const py::bytes& plan,
                     const std::vector<std::string>& src_dtypes,
                     const std::vector<std::string>& dst_dtypes, const Addresses& src_pointers,
                     const Addresses& dst_pointers, const Addresses& src_tensors,
                     const Addresses& dst_tensors, std::int64_t units)
    : tools_(tools->on(device_index)), owner_(std::move(tools)), units_(units) {
  std::vector<ElementPlane> planes = unpack_elements(plan, src_dtypes, dst_dtypes);
  planes_ = planes.size();
  if (src_pointers.size() != dst_pointers.size() || src_pointers.empty() ||
      src_pointers.size() % planes_ != 0) {
    throw std::invalid_argument("a base address for every layer and plane");
  }
  layers_ = src_pointers.size() / planes_;
  std::vector<std::uint64_t> words;
  for (std::size_t i = 0; i < src_pointers.size(); ++i) {
    words.push_back(src_pointers[i]);
    words.push_back(dst_pointers[i]);
    planes[i % planes_].src_bases |= src_pointers[i];
    planes[i % planes_].dst_bases |= dst_pointers[i];
  }
  launches_ = plan_convert(planes);
  bases_ = tools_.keep(words.data(), words.size() * sizeof words[0]);
  src_memory_.tensors = src_tensors;
  dst_memory_.tensors = dst_tensors;
}

void Converter::run(py::handle src, py::handle dst, py::handle src_scales, bool src_per_head,
                    py::handle dst_scales, bool dst_per_head, py::handle stream) {
  const StreamHandle target = resolve_stream(stream, tools_.device);
  src_memory_.check(src.ptr(), "src");
  dst_memory_.check(dst.ptr(), "dst");
  if (units_ == 0) return;
  std::vector<Function> functions;
  std::vector<ConvertLaunch> launches = launches_;
  for (ConvertLaunch& one : launches) {
    functions.push_back(tools_.function(one.variant));
    one.args.bases = bases_;
    one.args.bases_each = static_cast<unsigned>(planes_);
    one.args.form = ACCEL_CONVERT_COUNTED;
    for (std::size_t i = 0; i < one.planes.size(); ++i) {
      accel_convert_plane& plane = one.args.plane[i];
      plane.src_scale = read_scales(src_scales.ptr(), "src_scale", src_per_head, one.planes[i]);
      plane.dst_scale = read_scales(dst_scales.ptr(), "dst_scale", dst_per_head, one.planes[i]);
    }
  }
  {
    const Submission submission(tools_.runtime);
    for (std::size_t i = 0; i < launches.size(); ++i) {
      ConvertLaunch& one = launches[i];
      for (std::int64_t first = 0; first < units_; first += one.most_units()) {
        const std::int64_t units = std::min(units_ - first, one.most_units());
        one.args.first = first;
        one.args.units = static_cast<unsigned>(units);
        const auto rows = static_cast<unsigned>(layers_ * one.planes.size());
        launch(tools_.device, functions[i], {one.blocks(units), rows}, ACCEL_CONVERT_THREADS, 0,
               target, &one.args);
      }
    }
  }
  src_streams_.tell(tools_.runtime, target, src.ptr());
  dst_streams_.tell(tools_.runtime, target, dst.ptr());
  for (const py::handle scales : {src_scales, dst_scales}) {
    if (scales.is_none()) continue;
    TensorView view;
    accel::read_tensor(scales.ptr(), "scale", &view);
    if (view.is_gpu) record_use(tools_.runtime, target, scales.ptr());
  }
}

}  // namespace accel_cuda::arith
