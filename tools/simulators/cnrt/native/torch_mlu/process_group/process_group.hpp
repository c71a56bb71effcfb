// torch.distributed's backend `cncl`: one communicator for each device, with a queue of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <accel_sim_cncl/cncl.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "work.hpp"

namespace torch_cncl {

using Tensors = std::vector<at::Tensor>;
using WorkPointer = c10::intrusive_ptr<c10d::Work>;
template <typename T>
using Lists = std::vector<std::vector<T>>;

class ProcessGroupCNCL final : public c10d::Backend {
 public:
  ProcessGroupCNCL(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                   std::chrono::milliseconds timeout, std::string name, bool high_priority);
  ~ProcessGroupCNCL() override;

  const std::string getBackendName() const override { return name_; }
  bool supportsCoalescing() const override { return true; }
  void startCoalescing() override;
  WorkPointer endCoalescing() override;
  void setSequenceNumberForGroup() override {}
  std::uint64_t getSequenceNumberForGroup() override { return sequence_; }
  void setTimeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  /// Ends what is on the queues, here and on the other ranks. The group is of no use afterwards.
  void abort();
  /// Waits for what is on the queues and leaves.
  void shutdown();

  // --- operations.cpp: collectives that CNCL has ----------------------------------------------
  WorkPointer allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override;
  WorkPointer allreduce_coalesced(Tensors& tensors,
                                  const c10d::AllreduceCoalescedOptions& options) override;
  WorkPointer broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override;
  WorkPointer reduce(Tensors& tensors, const c10d::ReduceOptions& options) override;
  WorkPointer _allgather_base(at::Tensor& output, at::Tensor& input,
                              const c10d::AllgatherOptions& options) override;
  WorkPointer allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::AllgatherOptions& options) override;
  WorkPointer _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                   const c10d::ReduceScatterOptions& options) override;
  WorkPointer reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::ReduceScatterOptions& options) override;
  WorkPointer alltoall_base(at::Tensor& output, at::Tensor& input,
                            std::vector<std::int64_t>& output_splits,
                            std::vector<std::int64_t>& input_splits,
                            const c10d::AllToAllOptions& options) override;
  WorkPointer alltoall(Tensors& outputs, Tensors& inputs,
                       const c10d::AllToAllOptions& options) override;
  WorkPointer barrier(const c10d::BarrierOptions& options) override;

  // --- composed.cpp: what is made of others ---------------------------------------------------
  WorkPointer allgather(Lists<at::Tensor>& outputs, Tensors& inputs,
                        const c10d::AllgatherOptions& options) override;
  WorkPointer reduce_scatter(Tensors& outputs, Lists<at::Tensor>& inputs,
                             const c10d::ReduceScatterOptions& options) override;
  WorkPointer gather(Lists<at::Tensor>& outputs, Tensors& inputs,
                     const c10d::GatherOptions& options) override;
  WorkPointer scatter(Tensors& outputs, Lists<at::Tensor>& inputs,
                      const c10d::ScatterOptions& options) override;
  WorkPointer send(Tensors& tensors, int peer, int tag) override;
  WorkPointer recv(Tensors& tensors, int peer, int tag) override;

 private:
  struct Communicator {
    cnclComm_t handle = nullptr;
    c10::Stream stream;
    std::string key;
  };
  /// What an operation puts on the communicator's queue; a group's calls go there at its end.
  using Body = std::function<void(cnclComm_t, cnrtQueue_t)>;
  /// What follows on the queue, as torch operations.
  using After = std::function<void()>;
  struct Operation {
    c10d::OpType type;
    const char* name;
    std::chrono::milliseconds timeout;
    bool blocks_host = false;
    int peer = -1;  // of a message: the two ranks have a communicator of their own
  };

  WorkPointer run(const Operation& operation, const Tensors& inputs, const Tensors& outputs,
                  const Body& body, const After& after = {});
  WorkPointer message(Tensors& tensors, int peer, int tag, bool sends);

  Communicator& communicator_of(c10::Device device, int peer);
  std::shared_ptr<Communicator> join(c10::Device device, int peer, const std::string& key);
  WorkPointer make_work(const Operation& operation, const Communicator& communicator,
                        const Tensors& outputs);
  std::string describe(const char* operation) const;
  void check_usable() const;
  std::string trouble_of(Progress& progress) const;
  void watch();
  void give_up(const std::string& why);
  void stop_watching();

  const c10::intrusive_ptr<c10d::Store> store_;
  const std::string name_;
  const bool high_priority_;
  std::atomic<std::chrono::milliseconds> timeout_;
  std::atomic<std::uint64_t> sequence_{0};

  mutable std::mutex mutex_;  // of all below
  std::map<std::string, std::shared_ptr<Communicator>> communicators_;
  std::deque<std::shared_ptr<Progress>> watched_;
  std::string given_up_;      // why the group is of no use; empty: it is
  std::condition_variable changed_;
  bool closing_ = false;
  std::thread watchdog_;

  // The coalescing thread's, between start and end.
  bool coalescing_ = false;
  std::shared_ptr<Communicator> coalesced_on_;
  Tensors coalesced_outputs_;
  std::vector<After> coalesced_after_;
};

}  // namespace torch_cncl
