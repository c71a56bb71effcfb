// One operation of the group: where its end is on the group's queue, and what became of it.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <c10/core/Event.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

namespace torch_cncl {

using Clock = std::chrono::steady_clock;

/// What the caller's Work and the group's watchdog share; holds no tensors.
class Progress {
 public:
  Progress(std::string name, c10::Device device, std::chrono::milliseconds limit);

  /// The end of the operation is here on the stream.
  void mark_end(const c10::Stream& stream);
  /// True when the operation has run, or was given up. Asks its queue for its failure.
  bool over();
  bool late() const { return Clock::now() - begun_ > limit_; }
  /// Why it failed; nullptr while nothing is known.
  std::exception_ptr failure() const;
  void fail(const std::string& why);
  /// Makes what comes later on the stream wait, and fail if the operation has failed.
  static void order_before(const std::shared_ptr<Progress>& progress, const c10::Stream& stream);

  const std::string& name() const { return name_; }
  c10::Device device() const { return device_; }
  std::chrono::milliseconds limit() const { return limit_; }

 private:
  std::string outcome();  // after the end: empty, or the text of the failure

  const std::string name_;
  const c10::Device device_;
  const std::chrono::milliseconds limit_;
  const Clock::time_point begun_ = Clock::now();
  c10::Event end_;
  mutable std::mutex mutex_;
  std::exception_ptr failure_;
};

class WorkCNCL : public c10d::Work {
 public:
  WorkCNCL(int rank, c10d::OpType type, std::shared_ptr<Progress> progress,
           std::vector<at::Tensor> outputs, bool blocks_host);

  bool isCompleted() override;
  bool isSuccess() const override;
  std::exception_ptr exception() const override;
  std::vector<at::Tensor> result() override { return outputs_; }
  void synchronize() override;
  /// Orders the current stream's later work after the operation. Blocks the host for a barrier, and
  /// when a timeout is given, which then raises.
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void abort() override;
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

  const std::shared_ptr<Progress>& progress() const { return progress_; }
  /// Call it with the operation's stream as the current one, after its end was marked.
  void complete_future();

 private:
  const std::shared_ptr<Progress> progress_;
  const std::vector<at::Tensor> outputs_;
  const bool blocks_host_;
  const c10::intrusive_ptr<c10::ivalue::Future> future_;
};

}  // namespace torch_cncl
