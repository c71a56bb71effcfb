// The collectives that CNCL has, and averages and barriers of them.
#include <numeric>

#include <torch_mlu/devices.hpp>
#include <torch_mlu/streams.hpp>

#include "arguments.hpp"
#include "process_group.hpp"

namespace torch_cncl {
namespace {

using c10d::OpType;

// Elements of each rank's piece: as the caller split dimension 0, or evenly.
std::vector<std::uint32_t> counts_of(const at::Tensor& tensor,
                                     const std::vector<std::int64_t>& splits, int ranks) {
  const std::int64_t rows = tensor.dim() > 0 ? tensor.size(0) : 0;
  std::vector<std::int64_t> pieces = splits;
  if (pieces.empty()) {
    TORCH_CHECK_VALUE(rows % ranks == 0, "all_to_all_single: expected dimension 0 to divide by ",
                      ranks, " ranks, given ", rows);
    pieces.assign(ranks, rows / ranks);
  }
  const std::int64_t sum = std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0});
  TORCH_CHECK_VALUE(static_cast<int>(pieces.size()) == ranks && sum == rows,
                    "all_to_all_single: expected ", ranks, " splits that sum to ", rows,
                    ", given ", pieces.size(), " that sum to ", sum);
  const std::int64_t row = rows > 0 ? tensor.numel() / rows : 0;
  std::vector<std::uint32_t> counts;
  for (const std::int64_t piece : pieces) {
    TORCH_CHECK_VALUE(piece * row <= UINT32_MAX, "all_to_all: a piece of ", piece * row,
                      " elements is more than CNCL's 32-bit counts hold");
    counts.push_back(static_cast<std::uint32_t>(piece * row));
  }
  return counts;
}

// Where the pieces of a tensor begin.
template <typename Pointer>
std::vector<Pointer> places_of(const at::Tensor& tensor, const std::vector<std::uint32_t>& counts) {
  char* next = static_cast<char*>(tensor.data_ptr());
  std::vector<Pointer> places;
  for (const std::uint32_t count : counts) {
    places.push_back(next);
    next += count * tensor.element_size();
  }
  return places;
}

struct Exchange {
  std::vector<const void*> send;
  std::vector<std::uint32_t> send_counts;
  std::vector<void*> receive;
  std::vector<std::uint32_t> receive_counts;

  void run(cnclDataType_t type, cnclComm_t comm, cnrtQueue_t queue) {
    std::vector<cnclDataType_t> types(send.size(), type);
    CNCL_CHECK(cnclAlltoAllv, send.data(), send_counts.data(), types.data(), receive.data(),
               receive_counts.data(), types.data(), comm, queue);
  }
};

}  // namespace

WorkPointer ProcessGroupCNCL::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
  constexpr auto kName = "all_reduce";
  const at::Tensor tensor = only(tensors, kName);
  const cnclDataType_t type = type_of(tensor, kName);
  const Reduction reduction = reduction_of(options.reduceOp, tensor, kName);
  return run(
      {OpType::ALLREDUCE, kName, options.timeout}, {}, tensors,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        CNCL_CHECK(cnclAllReduce, tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), type,
                   reduction.op, comm, queue);
      },
      [=] { finish_average(reduction, tensor, size_); });
}

WorkPointer ProcessGroupCNCL::allreduce_coalesced(Tensors& tensors,
                                                  const c10d::AllreduceCoalescedOptions& options) {
  constexpr auto kName = "all_reduce (coalesced)";
  TORCH_CHECK_VALUE(!tensors.empty(), kName, ": expected tensors, given none");
  for (const at::Tensor& tensor : tensors) {
    check_tensor(tensor, kName);
    type_of(tensor, kName);
    reduction_of(options.reduceOp, tensor, kName);
  }
  const Tensors all = tensors;
  const c10d::ReduceOp op = options.reduceOp;
  return run(
      {OpType::ALLREDUCE_COALESCED, kName, options.timeout}, {}, tensors,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        for (const at::Tensor& tensor : all) {
          CNCL_CHECK(cnclAllReduce, tensor.data_ptr(), tensor.data_ptr(), tensor.numel(),
                     type_of(tensor, kName), reduction_of(op, tensor, kName).op, comm, queue);
        }
      },
      [=] {
        for (const at::Tensor& tensor : all) {
          finish_average(reduction_of(op, tensor, kName), tensor, size_);
        }
      });
}

WorkPointer ProcessGroupCNCL::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
  constexpr auto kName = "broadcast";
  const at::Tensor tensor = only(tensors, kName);
  const cnclDataType_t type = type_of(tensor, kName);
  const int root = static_cast<int>(options.rootRank);
  return run({OpType::BROADCAST, kName, options.timeout}, {}, tensors,
             [=](cnclComm_t comm, cnrtQueue_t queue) {
               CNCL_CHECK(cnclBcast, tensor.data_ptr(), tensor.numel(), type, root, comm, queue);
             });
}

WorkPointer ProcessGroupCNCL::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
  constexpr auto kName = "reduce";
  const at::Tensor tensor = only(tensors, kName);
  const cnclDataType_t type = type_of(tensor, kName);
  const Reduction reduction = reduction_of(options.reduceOp, tensor, kName);
  const int root = static_cast<int>(options.rootRank);
  return run(
      {OpType::REDUCE, kName, options.timeout}, {}, tensors,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        CNCL_CHECK(cnclReduce, tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), type,
                   reduction.op, root, comm, queue);
      },
      [=] {
        if (rank_ == root) finish_average(reduction, tensor, size_);
      });
}

WorkPointer ProcessGroupCNCL::_allgather_base(at::Tensor& output, at::Tensor& input,
                                              const c10d::AllgatherOptions& options) {
  Tensors outputs{output};
  Tensors inputs{input};
  return allgather_into_tensor_coalesced(outputs, inputs, options);
}

WorkPointer ProcessGroupCNCL::allgather_into_tensor_coalesced(
    Tensors& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) {
  constexpr auto kName = "all_gather_into_tensor";
  TORCH_CHECK_VALUE(!inputs.empty() && outputs.size() == inputs.size(), kName, ": given ",
                    inputs.size(), " inputs and ", outputs.size(), " outputs");
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_tensor(inputs[i], kName);
    check_tensor(outputs[i], kName);
    check_pieces(outputs[i], inputs[i], size_, kName);
    type_of(inputs[i], kName);
  }
  const Tensors to = outputs;
  const Tensors from = inputs;
  return run({OpType::_ALLGATHER_BASE, kName, options.timeout}, inputs, outputs,
             [=](cnclComm_t comm, cnrtQueue_t queue) {
               for (std::size_t i = 0; i < from.size(); ++i) {
                 CNCL_CHECK(cnclAllGather, from[i].data_ptr(), to[i].data_ptr(), from[i].numel(),
                            type_of(from[i], kName), comm, queue);
               }
             });
}

WorkPointer ProcessGroupCNCL::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                                   const c10d::ReduceScatterOptions& options) {
  Tensors outputs{output};
  Tensors inputs{input};
  return reduce_scatter_tensor_coalesced(outputs, inputs, options);
}

WorkPointer ProcessGroupCNCL::reduce_scatter_tensor_coalesced(
    Tensors& outputs, Tensors& inputs, const c10d::ReduceScatterOptions& options) {
  constexpr auto kName = "reduce_scatter_tensor";
  TORCH_CHECK_VALUE(!inputs.empty() && outputs.size() == inputs.size(), kName, ": given ",
                    inputs.size(), " inputs and ", outputs.size(), " outputs");
  std::vector<Reduction> reductions;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_tensor(inputs[i], kName);
    check_tensor(outputs[i], kName);
    check_pieces(inputs[i], outputs[i], size_, kName);
    type_of(inputs[i], kName);
    reductions.push_back(reduction_of(options.reduceOp, inputs[i], kName));
  }
  const Tensors to = outputs;
  const Tensors from = inputs;
  return run(
      {OpType::_REDUCE_SCATTER_BASE, kName, options.timeout}, inputs, outputs,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        for (std::size_t i = 0; i < to.size(); ++i) {
          CNCL_CHECK(cnclReduceScatter, from[i].data_ptr(), to[i].data_ptr(), to[i].numel(),
                     type_of(to[i], kName), reductions[i].op, comm, queue);
        }
      },
      [=] {
        for (std::size_t i = 0; i < to.size(); ++i) finish_average(reductions[i], to[i], size_);
      });
}

WorkPointer ProcessGroupCNCL::alltoall_base(at::Tensor& output, at::Tensor& input,
                                            std::vector<std::int64_t>& output_splits,
                                            std::vector<std::int64_t>& input_splits,
                                            const c10d::AllToAllOptions& options) {
  constexpr auto kName = "all_to_all_single";
  check_tensor(input, kName);
  check_tensor(output, kName);
  check_alike(input, output, kName);
  const cnclDataType_t type = type_of(input, kName);
  Exchange exchange;
  exchange.send_counts = counts_of(input, input_splits, size_);
  exchange.receive_counts = counts_of(output, output_splits, size_);
  exchange.send = places_of<const void*>(input, exchange.send_counts);
  exchange.receive = places_of<void*>(output, exchange.receive_counts);
  return run({OpType::ALLTOALL_BASE, kName, options.timeout}, {input}, {output},
             [=](cnclComm_t comm, cnrtQueue_t queue) mutable { exchange.run(type, comm, queue); });
}

WorkPointer ProcessGroupCNCL::alltoall(Tensors& outputs, Tensors& inputs,
                                       const c10d::AllToAllOptions& options) {
  constexpr auto kName = "all_to_all";
  const auto ranks = static_cast<std::size_t>(size_);
  TORCH_CHECK_VALUE(inputs.size() == ranks && outputs.size() == ranks, kName, ": expected ", ranks,
                    " tensors in each list, given ", inputs.size(), " and ", outputs.size());
  const cnclDataType_t type = type_of(inputs[0], kName);
  Exchange exchange;
  for (std::size_t i = 0; i < ranks; ++i) {
    for (const at::Tensor* tensor : {&inputs[i], &outputs[i]}) {
      check_tensor(*tensor, kName);
      check_alike(*tensor, inputs[0], kName);
      TORCH_CHECK_VALUE(tensor->numel() <= UINT32_MAX, kName, ": a tensor of ", tensor->numel(),
                        " elements is more than CNCL's 32-bit counts hold");
    }
    exchange.send.push_back(inputs[i].data_ptr());
    exchange.send_counts.push_back(static_cast<std::uint32_t>(inputs[i].numel()));
    exchange.receive.push_back(outputs[i].data_ptr());
    exchange.receive_counts.push_back(static_cast<std::uint32_t>(outputs[i].numel()));
  }
  return run({OpType::ALLTOALL, kName, options.timeout}, inputs, outputs,
             [=](cnclComm_t comm, cnrtQueue_t queue) mutable { exchange.run(type, comm, queue); });
}

// CNCL has none: a reduction of one element, which the host waits for.
WorkPointer ProcessGroupCNCL::barrier(const c10d::BarrierOptions& options) {
  constexpr auto kName = "barrier";
  c10::Device device = torch_mlu::device_at(-1);
  if (options.device && options.device->type() == torch_mlu::kDevice) {
    device = torch_mlu::device_at(options.device->index());
  } else if (!options.device_ids.empty()) {
    device = torch_mlu::device_at(static_cast<c10::DeviceIndex>(options.device_ids[0]));
  } else if (getBoundDeviceId()) {
    device = *getBoundDeviceId();
  }
  const at::Tensor token = at::zeros({1}, at::TensorOptions(device).dtype(at::kInt));
  Operation operation{OpType::BARRIER, kName, options.timeout};
  operation.blocks_host = true;
  return run(operation, {}, {token}, [=](cnclComm_t comm, cnrtQueue_t queue) {
    CNCL_CHECK(cnclAllReduce, token.data_ptr(), token.data_ptr(), 1, cnclInt32, cnclSum, comm,
               queue);
  });
}

}  // namespace torch_cncl
