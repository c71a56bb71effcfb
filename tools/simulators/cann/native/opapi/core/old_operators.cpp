// Operators of the older path, by name. Their tensors are contiguous; small integer inputs (sizes,
// strides, permutations) come in host memory.
#include "old_operators.hpp"

#include <map>

#include <accel_sim/failure.hpp>
#include <accel_sim/streams.hpp>
#include <accel_sim/torch.hpp>

#include "core/not_simulated.hpp"
#include "core/operator.hpp"

namespace accel_opapi {

namespace {

// A device tensor as a view, or the bytes of one in host memory, which the caller may reuse at
// once.
struct Operand {
  std::optional<View> view;
  at::Tensor host;

  Operand(const aclTensorDesc& about, const aclDataBuffer& buffer) {
    if (buffer.data == nullptr && buffer.bytes != 0) return;
    if (about.placement != 0) {
      const auto options = at::TensorOptions().dtype(scalar_type(about.data_type));
      host = at::from_blob(buffer.data, about.shape, options).clone();
      return;
    }
    aclTensor tensor{
        about.shape, std::vector<I>(about.shape.size(), 1), 0, about.data_type, about.format, {},
        buffer.data};
    for (std::size_t d = about.shape.size(); d-- > 1;) {
      tensor.strides[d - 1] = tensor.strides[d] * about.shape[d];
    }
    view.emplace(&tensor);
  }
  at::Tensor open() const { return view ? view->open() : host; }
};

std::vector<I> integers(T tensor) {
  const auto flat = tensor.to(at::kLong).reshape({-1}).contiguous();
  return {flat.data_ptr<I>(), flat.data_ptr<I>() + flat.numel()};
}

struct Running {
  Tensors in;
  Tensors out;
  const aclopAttr& attributes;

  I integer(const std::string& name, I missing) const {
    const auto found = attributes.integers.find(name);
    return found != attributes.integers.end() ? found->second : missing;
  }
  void give(T value) const {
    const Out result{out.at(0)};
    result = value;
  }
};

using Body = void (*)(const Running&);

void copy_through(const Running& run) { run.give(run.in.at(0).reshape(run.out.at(0).sizes())); }

void concatenate(const Running& run) { run.give(at::cat(run.in, run.integer("concat_dim", 0))); }

// Inputs: destination, its sizes, strides and offset, then the same four of the source. The output
// is the destination.
void view_copy(const Running& run) {
  const auto strided = [&](std::size_t first) {
    const auto offset = run.in.at(first + 3).item<I>();
    return at::as_strided(run.in.at(first).reshape({-1}), integers(run.in.at(first + 1)),
                          integers(run.in.at(first + 2)), offset);
  };
  strided(0).copy_(strided(4));
}

void slice(const Running& run) {
  const auto offsets = integers(run.in.at(1));
  const auto sizes = integers(run.in.at(2));
  auto part = run.in.at(0);
  for (std::size_t d = 0; d < offsets.size(); ++d) {
    part = part.narrow(d, offsets[d], sizes[d] < 0 ? part.size(d) - offsets[d] : sizes[d]);
  }
  run.give(part);
}

void strided_slice(const Running& run) {
  for (const char* mask : {"begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask"}) {
    TORCH_CHECK(run.integer(mask, 0) == 0, "StridedSlice with ", mask, " is not simulated");
  }
  const auto begin = integers(run.in.at(1));
  const auto end = integers(run.in.at(2));
  const auto step = integers(run.in.at(3));
  auto part = run.in.at(0);
  for (std::size_t d = 0; d < begin.size(); ++d)
    part = at::slice(part, d, begin[d], end[d], step[d]);
  run.give(part.reshape(run.out.at(0).sizes()));
}

void as_strided(const Running& run) {
  run.give(at::as_strided(run.in.at(0).reshape({-1}), integers(run.in.at(1)),
                          integers(run.in.at(2)), run.in.at(3).item<I>()));
}

Body find(const std::string& type) {
  static const std::map<std::string, Body> bodies = {
      {"Add", [](const Running& run) { run.give(run.in.at(0) + run.in.at(1)); }},
      {"AsStrided", as_strided},
      {"BroadcastTo",
       [](const Running& run) { run.give(run.in.at(0).expand(run.out.at(0).sizes())); }},
      {"Cast", [](const Running& run) { run.give(run.in.at(0)); }},
      {"ConcatD", concatenate},
      {"Fill",
       [](const Running& run) { run.out.at(0).copy_(run.in.at(1).expand_as(run.out.at(0))); }},
      {"Identity", copy_through},
      {"Mul", [](const Running& run) { run.give(run.in.at(0) * run.in.at(1)); }},
      {"RealDiv", [](const Running& run) { run.give(run.in.at(0) / run.in.at(1)); }},
      {"Reshape", copy_through},
      {"Slice", slice},
      {"StridedSlice", strided_slice},
      {"Sub", [](const Running& run) { run.give(run.in.at(0) - run.in.at(1)); }},
      {"TensorMove", copy_through},
      {"Transpose",
       [](const Running& run) { run.give(run.in.at(0).permute(integers(run.in.at(1)))); }},
      {"ViewCopy", view_copy},
      {"ZerosLike", [](const Running& run) { run.out.at(0).zero_(); }},
  };
  const auto found = bodies.find(type);
  return found != bodies.end() ? found->second : nullptr;
}

std::function<void()> bind(const ascendcl::OldOperator& call, Body body) {
  std::vector<Operand> inputs;
  std::vector<Operand> outputs;
  for (std::size_t i = 0; i < call.inputs.size(); ++i) {
    inputs.emplace_back(*call.input_descriptions[i], *call.inputs[i]);
  }
  for (std::size_t i = 0; i < call.outputs.size(); ++i) {
    outputs.emplace_back(*call.output_descriptions[i], *call.outputs[i]);
  }
  const auto attributes = call.attributes != nullptr ? *call.attributes : aclopAttr();
  return [inputs, outputs, attributes, body] {
    Running run{{}, {}, attributes};
    for (const Operand& operand : inputs) run.in.push_back(operand.open());
    for (const Operand& operand : outputs) run.out.push_back(operand.open());
    body(run);
  };
}

void run(const ascendcl::OldOperator& call) {
  const auto body = find(call.type);
  if (body == nullptr) {
    throw accel_sim::Failure(kNotSimulated, std::string("the operator ") + call.type +
                                                " of the older path (aclop) is not simulated");
  }
  std::uint64_t bytes = 0;
  for (const aclDataBuffer* output : call.outputs) bytes += output->bytes;
  const auto work = bind(call, body);
  accel_sim::submit(accel_sim::stream_of(call.stream),
                    {call.type, [work] { accel_sim::run_kernels(work); }, bytes});
}

const bool registered = (accel_simulator_set_old_operator_runner(&run), true);

}  // namespace
}  // namespace accel_opapi
