#include "process_group.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include <accel_sim/devices.hpp>
#include <accel_sim/streams.hpp>
#include <c10/core/StreamGuard.h>
#include <torch_mlu/allocator.hpp>
#include <torch_mlu/devices.hpp>
#include <torch_mlu/streams.hpp>

#include "arguments.hpp"

namespace torch_cncl {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(50);
constexpr int kHighPriority = -3;  // torch's numbers: the first of all

std::vector<std::uint8_t> bytes_of(const cnclCliqueId& id) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(&id);
  return {first, first + sizeof id};
}

cnclCliqueId clique_of(const std::vector<std::uint8_t>& bytes) {
  cnclCliqueId id;
  TORCH_CHECK(bytes.size() == sizeof id, "cncl: the store holds no clique id but ", bytes.size(),
              " bytes");
  std::memcpy(&id, bytes.data(), sizeof id);
  return id;
}

}  // namespace

ProcessGroupCNCL::ProcessGroupCNCL(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                   std::chrono::milliseconds timeout, std::string name,
                                   bool high_priority)
    : Backend(rank, size),
      store_(std::move(store)),
      name_(std::move(name)),
      high_priority_(high_priority),
      timeout_(timeout) {
  watchdog_ = std::thread([this] { watch(); });
}

ProcessGroupCNCL::~ProcessGroupCNCL() {
  try {
    shutdown();
  } catch (const std::exception& error) {
    TORCH_WARN(describe("shutdown"), ": ", error.what());
  }
}

std::string ProcessGroupCNCL::describe(const char* operation) const {
  return c10::str(name_, ": rank ", rank_, " of ", size_, ": ", operation);
}

void ProcessGroupCNCL::check_usable() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (given_up_.empty()) return;
  C10_THROW_ERROR(DistBackendError,
                  c10::str(describe("the group"), " was given up: ", given_up_));
}

// --- communicators

// Messages of two ranks must not wait for the others, so they have a communicator of their own.
ProcessGroupCNCL::Communicator& ProcessGroupCNCL::communicator_of(c10::Device device, int peer) {
  const std::string key =
      peer < 0 ? c10::str("all/", device.index())
               : c10::str("pair/", std::min(rank_, peer), ":", std::max(rank_, peer));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = communicators_.find(key);
    if (found != communicators_.end()) return *found->second;
  }
  std::shared_ptr<Communicator> made = join(device, peer, key);
  const std::lock_guard<std::mutex> lock(mutex_);
  return *(communicators_[key] = std::move(made));
}

// The first rank makes the clique and leaves its identifier in the store. (Ranks count devices for
// themselves, so the key of all ranks' communicator names none.)
std::shared_ptr<ProcessGroupCNCL::Communicator> ProcessGroupCNCL::join(c10::Device device, int peer,
                                                                       const std::string& key) {
  const int ranks = peer < 0 ? size_ : 2;
  const int rank = peer < 0 ? rank_ : (rank_ < peer ? 0 : 1);
  const std::string place = peer < 0 ? "cncl/all" : "cncl/" + key;
  cnclCliqueId id;
  if (rank == 0) {
    CNCL_CHECK(cnclGetCliqueId, &id);
    store_->set(place, bytes_of(id));
  } else {
    id = clique_of(store_->get(place));
  }
  const int index = device.index();
  cnclComm_t handle = nullptr;
  CNCL_CHECK(cnclInitComms, &handle, 1, &index, &rank, ranks, &id);
  const c10::Stream stream =
      torch_mlu::pool_stream(device.index(), high_priority_ ? kHighPriority : 0);
  return std::make_shared<Communicator>(Communicator{handle, stream, key});
}

// --- operations

WorkPointer ProcessGroupCNCL::make_work(const Operation& operation,
                                        const Communicator& communicator, const Tensors& outputs) {
  const std::chrono::milliseconds limit =
      operation.timeout.count() > 0 ? operation.timeout : timeout_.load();
  auto progress = std::make_shared<Progress>(
      c10::str(describe(operation.name), " (number ", ++sequence_, ")"),
      communicator.stream.device(), limit);
  progress->mark_end(communicator.stream);
  auto work = c10::make_intrusive<WorkCNCL>(rank_, operation.type, progress, outputs,
                                            operation.blocks_host);
  work->complete_future();
  const std::lock_guard<std::mutex> lock(mutex_);
  watched_.push_back(progress);
  changed_.notify_all();
  return work;
}

WorkPointer ProcessGroupCNCL::run(const Operation& operation, const Tensors& inputs,
                                  const Tensors& outputs, const Body& body, const After& after) {
  check_usable();
  const c10::Device device = (outputs.empty() ? inputs : outputs).at(0).device();
  const torch_mlu::OnDevice here(device.index());
  Communicator& communicator = communicator_of(device, coalescing_ ? -1 : operation.peer);
  c10::Event ready(device.type());
  ready.record(torch_mlu::current_stream(device.index()));
  ready.block(communicator.stream);
  for (const Tensors* each : {&inputs, &outputs}) {
    for (const at::Tensor& tensor : *each) {
      torch_mlu::record_stream(tensor.storage().data_ptr(), communicator.stream);
    }
  }
  const c10::StreamGuard guard(communicator.stream);
  body(communicator.handle, torch_mlu::queue_of(communicator.stream));
  if (coalescing_) {
    const std::lock_guard<std::mutex> lock(mutex_);
    coalesced_on_ = communicators_.at(communicator.key);
    coalesced_outputs_.insert(coalesced_outputs_.end(), outputs.begin(), outputs.end());
    if (after) coalesced_after_.push_back(after);
    return nullptr;
  }
  if (after) after();
  return make_work(operation, communicator, outputs);
}

void ProcessGroupCNCL::startCoalescing() {
  TORCH_CHECK(!coalescing_, describe("operations are being coalesced already"));
  CNCL_CHECK(cnclGroupStart);
  coalescing_ = true;
}

WorkPointer ProcessGroupCNCL::endCoalescing() {
  TORCH_CHECK(coalescing_, describe("no operations are being coalesced"));
  coalescing_ = false;
  const std::shared_ptr<Communicator> on = std::exchange(coalesced_on_, nullptr);
  const Tensors outputs = std::exchange(coalesced_outputs_, {});
  const std::vector<After> afters = std::exchange(coalesced_after_, {});
  CNCL_CHECK(cnclGroupEnd);
  if (!on) return nullptr;
  const torch_mlu::OnDevice here(on->stream.device_index());
  const c10::StreamGuard guard(on->stream);
  for (const After& after : afters) after();
  return make_work({c10d::OpType::COALESCED, "coalesced operations", c10d::kUnsetTimeout}, *on,
                   outputs);
}

// --- the end

// Empty while nothing is wrong.
std::string ProcessGroupCNCL::trouble_of(Progress& progress) const {
  const bool over = progress.over();
  if (!over && progress.late()) {
    progress.fail(c10::str("it timed out: it did not end in ", progress.limit().count(), " ms"));
  }
  const std::exception_ptr failure = progress.failure();
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
}

void ProcessGroupCNCL::watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!closing_) {
    changed_.wait_for(lock, kWatchInterval);
    const std::deque<std::shared_ptr<Progress>> watched = watched_;
    lock.unlock();
    std::set<std::shared_ptr<Progress>> over;
    std::string trouble;
    for (const std::shared_ptr<Progress>& progress : watched) {
      if (trouble.empty()) trouble = trouble_of(*progress);
      if (progress->over()) over.insert(progress);
    }
    if (!trouble.empty()) give_up(trouble);
    lock.lock();
    const auto gone = [&](const auto& progress) { return over.count(progress) != 0; };
    watched_.erase(std::remove_if(watched_.begin(), watched_.end(), gone), watched_.end());
  }
}

// Ends what is on the queues and takes their failures: they are said by then.
void ProcessGroupCNCL::give_up(const std::string& why) {
  std::map<std::string, std::shared_ptr<Communicator>> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (given_up_.empty()) given_up_ = why;
    all = std::exchange(communicators_, {});
    for (const std::shared_ptr<Progress>& progress : watched_) progress->fail(given_up_);
    watched_.clear();
  }
  for (const auto& entry : all) {
    cnclAbortComm(entry.second->handle);
    accel_sim::Stream& stream = torch_mlu::simulated(entry.second->stream);
    stream.drain();
    stream.take_error();
  }
}

void ProcessGroupCNCL::stop_watching() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  if (watchdog_.joinable()) watchdog_.join();
}

void ProcessGroupCNCL::abort() { give_up("it was aborted"); }

void ProcessGroupCNCL::shutdown() {
  stop_watching();
  std::map<std::string, std::shared_ptr<Communicator>> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (given_up_.empty()) given_up_ = "it was shut down";
    all = std::exchange(communicators_, {});
    watched_.clear();
  }
  for (const auto& entry : all) CNCL_CHECK(cnclFreeComm, entry.second->handle);
}

}  // namespace torch_cncl
