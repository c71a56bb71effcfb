// What CNCL does not have in torch's form, made of what it has: lists of tensors, gather and
// scatter, and messages.
#include <algorithm>
#include <exception>

#include "arguments.hpp"
#include "process_group.hpp"

namespace torch_cncl {
namespace {

using c10d::OpType;

// Calls of a group do not wait for each other. It is ended whatever happens in it.
template <typename Calls>
void in_group(Calls&& calls) {
  CNCL_CHECK(cnclGroupStart);
  try {
    calls();
  } catch (...) {
    cnclGroupEnd();
    throw;
  }
  CNCL_CHECK(cnclGroupEnd);
}

const std::vector<at::Tensor>& list_of(const Lists<at::Tensor>& lists, int ranks,
                                       const at::Tensor& like, const char* operation) {
  TORCH_CHECK_VALUE(lists.size() == 1 && static_cast<int>(lists[0].size()) == ranks, operation,
                    ": expected one list of ", ranks, " tensors, given ", lists.size(),
                    " lists, the first of ", lists.empty() ? 0 : lists[0].size());
  for (const at::Tensor& tensor : lists[0]) {
    check_tensor(tensor, operation);
    check_alike(tensor, like, operation);
  }
  return lists[0];
}

bool even(const Tensors& list) {
  return std::all_of(list.begin(), list.end(),
                     [&](const at::Tensor& tensor) { return tensor.numel() == list[0].numel(); });
}

void check_size(const at::Tensor& tensor, const at::Tensor& like, const char* operation) {
  TORCH_CHECK_VALUE(tensor.numel() == like.numel(), operation, ": expected ", like.numel(),
                    " elements, given ", tensor.numel());
}

}  // namespace

WorkPointer ProcessGroupCNCL::allgather(Lists<at::Tensor>& outputs, Tensors& inputs,
                                        const c10d::AllgatherOptions& options) {
  constexpr auto kName = "all_gather";
  const at::Tensor input = only(inputs, kName);
  const Tensors to = list_of(outputs, size_, input, kName);
  check_size(to.at(rank_), input, kName);
  const cnclDataType_t type = type_of(input, kName);
  const Operation operation{OpType::ALLGATHER, kName, options.timeout};
  if (!even(to)) {  // each rank sends to all
    return run(operation, inputs, to, [=](cnclComm_t comm, cnrtQueue_t queue) {
      for (int root = 0; root < size_; ++root) {
        const at::Tensor& from = root == rank_ ? input : to[root];
        CNCL_CHECK(cnclBroadcast, from.data_ptr(), to[root].data_ptr(), to[root].numel(), type,
                   root, comm, queue);
      }
    });
  }
  auto whole = std::make_shared<at::Tensor>();
  return run(
      operation, inputs, to,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        *whole = at::empty({size_, input.numel()}, input.options());
        CNCL_CHECK(cnclAllGather, input.data_ptr(), whole->data_ptr(), input.numel(), type, comm,
                   queue);
      },
      [=] {
        for (int i = 0; i < size_; ++i) {
          to[i].copy_(whole->select(0, i).view(to[i].sizes()), /*non_blocking=*/true);
        }
      });
}

WorkPointer ProcessGroupCNCL::reduce_scatter(Tensors& outputs, Lists<at::Tensor>& inputs,
                                             const c10d::ReduceScatterOptions& options) {
  constexpr auto kName = "reduce_scatter";
  const at::Tensor output = only(outputs, kName);
  const Tensors from = list_of(inputs, size_, output, kName);
  check_size(from.at(rank_), output, kName);
  const cnclDataType_t type = type_of(output, kName);
  const Reduction reduction = reduction_of(options.reduceOp, output, kName);
  const Operation operation{OpType::REDUCE_SCATTER, kName, options.timeout};
  const After after = [=] { finish_average(reduction, output, size_); };
  if (!even(from)) {  // each rank gets from all
    const auto reduce_each = [=](cnclComm_t comm, cnrtQueue_t queue) {
      for (int root = 0; root < size_; ++root) {
        CNCL_CHECK(cnclReduce, from[root].data_ptr(), root == rank_ ? output.data_ptr() : nullptr,
                   from[root].numel(), type, reduction.op, root, comm, queue);
      }
    };
    return run(operation, from, outputs, reduce_each, after);
  }
  return run(
      operation, from, outputs,
      [=](cnclComm_t comm, cnrtQueue_t queue) {
        const at::Tensor whole = at::empty({size_, output.numel()}, output.options());
        for (int i = 0; i < size_; ++i) {
          whole.select(0, i).view(from[i].sizes()).copy_(from[i], /*non_blocking=*/true);
        }
        CNCL_CHECK(cnclReduceScatter, whole.data_ptr(), output.data_ptr(), output.numel(), type,
                   reduction.op, comm, queue);
      },
      after);
}

WorkPointer ProcessGroupCNCL::gather(Lists<at::Tensor>& outputs, Tensors& inputs,
                                     const c10d::GatherOptions& options) {
  constexpr auto kName = "gather";
  const at::Tensor input = only(inputs, kName);
  const int root = static_cast<int>(options.rootRank);
  const cnclDataType_t type = type_of(input, kName);
  const Tensors to = rank_ == root ? list_of(outputs, size_, input, kName) : Tensors{};
  for (const at::Tensor& tensor : to) check_size(tensor, input, kName);
  return run({OpType::GATHER, kName, options.timeout}, inputs, to,
             [=](cnclComm_t comm, cnrtQueue_t queue) {
               in_group([&] {
                 CNCL_CHECK(cnclSend, input.data_ptr(), input.numel(), type, root, comm, queue);
                 for (std::size_t i = 0; i < to.size(); ++i) {
                   CNCL_CHECK(cnclRecv, to[i].data_ptr(), to[i].numel(), type, static_cast<int>(i),
                              comm, queue);
                 }
               });
             });
}

WorkPointer ProcessGroupCNCL::scatter(Tensors& outputs, Lists<at::Tensor>& inputs,
                                      const c10d::ScatterOptions& options) {
  constexpr auto kName = "scatter";
  const at::Tensor output = only(outputs, kName);
  const int root = static_cast<int>(options.rootRank);
  const cnclDataType_t type = type_of(output, kName);
  const Tensors from = rank_ == root ? list_of(inputs, size_, output, kName) : Tensors{};
  for (const at::Tensor& tensor : from) check_size(tensor, output, kName);
  return run({OpType::SCATTER, kName, options.timeout}, from, outputs,
             [=](cnclComm_t comm, cnrtQueue_t queue) {
               in_group([&] {
                 for (std::size_t i = 0; i < from.size(); ++i) {
                   CNCL_CHECK(cnclSend, from[i].data_ptr(), from[i].numel(), type,
                              static_cast<int>(i), comm, queue);
                 }
                 CNCL_CHECK(cnclRecv, output.data_ptr(), output.numel(), type, root, comm, queue);
               });
             });
}

// CNCL knows no tags: messages of two ranks meet in the order of the calls.
WorkPointer ProcessGroupCNCL::message(Tensors& tensors, int peer, int /*tag*/, bool sends) {
  const char* const name = sends ? "send" : "recv";
  const at::Tensor tensor = only(tensors, name);
  const cnclDataType_t type = type_of(tensor, name);
  TORCH_CHECK_VALUE(peer >= 0 && peer < size_ && peer != rank_, name, ": rank ", peer,
                    " is no other rank of ", size_);
  Operation operation{sends ? OpType::SEND : OpType::RECV, name, c10d::kUnsetTimeout};
  operation.peer = peer;
  const bool alone = !coalescing_;  // then on the communicator of these two ranks
  const int to = alone ? (rank_ < peer ? 1 : 0) : peer;
  return run(operation, sends ? tensors : Tensors{}, sends ? Tensors{} : tensors,
             [=](cnclComm_t comm, cnrtQueue_t queue) {
               if (sends) {
                 CNCL_CHECK(cnclSend, tensor.data_ptr(), tensor.numel(), type, to, comm, queue);
               } else {
                 CNCL_CHECK(cnclRecv, tensor.data_ptr(), tensor.numel(), type, to, comm, queue);
               }
             });
}

WorkPointer ProcessGroupCNCL::send(Tensors& tensors, int peer, int tag) {
  return message(tensors, peer, tag, true);
}

WorkPointer ProcessGroupCNCL::recv(Tensors& tensors, int peer, int tag) {
  return message(tensors, peer, tag, false);
}

}  // namespace torch_cncl
