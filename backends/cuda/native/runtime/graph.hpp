// Capturing a stream's work into a graph, and replaying it.
#pragma once

#include <memory>
#include <vector>

#include "stream.hpp"

namespace accel_cuda {

// Made by Streams.capture; `begin` and `end` are the two ends of its `with` block.
class Graph : public std::enable_shared_from_this<Graph> {
 public:
  Graph(std::shared_ptr<Stream> stream);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  const std::shared_ptr<Stream> stream;

  void begin();
  // Ends the capture; `keep` false throws the work away.
  void end(bool keep);
  void replay(StreamHandle on);

  bool capturing() const noexcept { return capturing_; }
  bool ready() const noexcept { return exec_ != nullptr; }
  std::size_t nodes() const noexcept { return nodes_; }

  // The stream's work goes into a capture: if it is one of ours, a replay's failures on this stream
  // are the replaying stream's to report.
  static void note(Runtime& runtime, StreamHandle stream);
  // The same, and the graph holds a host callback.
  static void note_callback(Runtime& runtime, StreamHandle stream);

 private:
  static Graph* capturing_into(StreamHandle stream);

  Runtime& runtime_;
  std::uint64_t capture_id_ = 0;
  bool capturing_ = false;
  bool has_callbacks_ = false;
  std::size_t nodes_ = 0;
  GraphHandle graph_ = nullptr;
  GraphExecHandle exec_ = nullptr;
  std::vector<StreamState*> touched_;
  std::vector<std::shared_ptr<Stream>> streams_;  // of those, so that none gets another owner
};

}  // namespace accel_cuda
