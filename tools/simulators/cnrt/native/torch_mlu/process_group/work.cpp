#include "work.hpp"

#include <thread>
#include <utility>

#include <ATen/core/jit_type.h>
#include <accel_sim/events.hpp>
#include <accel_sim/failure.hpp>
#include <accel_sim/streams.hpp>
#include <torch_mlu/streams.hpp>

namespace torch_cncl {
namespace {

constexpr auto kPoll = std::chrono::microseconds(200);
constexpr int kQueueFailed = 632015;  // cnrtErrorCndrvFuncCall

std::exception_ptr as_exception(const std::string& why) {
  return std::make_exception_ptr(
      c10::DistBackendError({__func__, __FILE__, static_cast<std::uint32_t>(__LINE__)}, why));
}

}  // namespace

Progress::Progress(std::string name, c10::Device device, std::chrono::milliseconds limit)
    : name_(std::move(name)), device_(device), limit_(limit), end_(device.type()) {}

void Progress::mark_end(const c10::Stream& stream) { end_.record(stream); }

// At its end already: says what had failed on the queue by then, in the core's own words.
std::string Progress::outcome() {
  try {
    accel_sim::event_of(end_.eventId()).synchronize();
    return "";
  } catch (const accel_sim::Failure& failure) {
    return failure.what();
  }
}

bool Progress::over() {
  if (failure()) return true;
  if (!end_.query()) return false;
  const std::string why = outcome();
  if (!why.empty()) fail(why);
  return true;
}

std::exception_ptr Progress::failure() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void Progress::fail(const std::string& why) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!failure_) failure_ = as_exception(name_ + ": " + why);
}

// A real event carries no error to the stream that waits for it; a real group ends the process
// instead. Here the waiting stream fails, so that nobody reads what a failed operation left.
void Progress::order_before(const std::shared_ptr<Progress>& progress, const c10::Stream& stream) {
  progress->end_.block(stream);
  accel_sim::Task task;
  task.name = "cncl: result awaited";
  task.control = true;
  task.run = [progress] {
    const std::string why = progress->outcome();
    if (!why.empty()) throw accel_sim::Failure(kQueueFailed, progress->name() + ": " + why);
  };
  accel_sim::submit(torch_mlu::simulated(stream), std::move(task));
}

WorkCNCL::WorkCNCL(int rank, c10d::OpType type, std::shared_ptr<Progress> progress,
                   std::vector<at::Tensor> outputs, bool blocks_host)
    : Work(rank, type),
      progress_(std::move(progress)),
      outputs_(std::move(outputs)),
      blocks_host_(blocks_host),
      future_(c10::make_intrusive<c10::ivalue::Future>(
          c10::ListType::create(c10::TensorType::get()),
          std::vector<c10::Device>{progress_->device()})) {}

void WorkCNCL::complete_future() { future_->markCompleted(at::IValue(outputs_)); }

bool WorkCNCL::isCompleted() { return progress_->over(); }

bool WorkCNCL::isSuccess() const { return progress_->over() && !progress_->failure(); }

std::exception_ptr WorkCNCL::exception() const { return progress_->failure(); }

void WorkCNCL::synchronize() {
  if (const std::exception_ptr failure = progress_->failure()) std::rethrow_exception(failure);
  const auto index = progress_->device().index();
  Progress::order_before(progress_, torch_mlu::current_stream(index));
}

bool WorkCNCL::wait(std::chrono::milliseconds timeout) {
  const bool blocks = timeout != kNoTimeout || blocks_host_;
  const Clock::time_point end = Clock::now() + timeout;
  while (blocks && !progress_->over()) {
    if (timeout != kNoTimeout && Clock::now() > end) {
      C10_THROW_ERROR(
          DistBackendError,
          c10::str(progress_->name(), " timed out: it did not end in ", timeout.count(), " ms"));
    }
    std::this_thread::sleep_for(kPoll);
  }
  synchronize();  // the stream is left alone when the wait was in vain
  return true;
}

void WorkCNCL::abort() {
  TORCH_CHECK(false, "a single operation cannot be aborted: abort the process group");
}

}  // namespace torch_cncl
