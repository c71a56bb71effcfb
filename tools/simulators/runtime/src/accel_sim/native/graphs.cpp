#include "accel_sim/graphs.hpp"

#include <utility>

namespace accel_sim {

void Graph::add(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(task));
}

void Graph::join(Stream& stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!origin_) origin_ = &stream;
  streams_.insert(&stream);
}

void Graph::end() {
  std::set<Stream*> joined;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    joined.swap(streams_);
  }
  for (Stream* stream : joined) stream->set_capture(nullptr);
}

void Graph::run_on(Stream& stream) const {
  std::vector<Task> tasks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tasks = tasks_;
  }
  for (Task& task : tasks) submit(stream, std::move(task));
}

std::size_t Graph::size() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return tasks_.size();
}

}  // namespace accel_sim
