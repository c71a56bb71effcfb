// Places in the work of streams, of whatever kind they are.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace accel {

// How far a stream has got. Places count up as work is given to it.
class StreamProgress {
 public:
  virtual ~StreamProgress() = default;
  // Whether all work given up to `place` has run. Any thread may ask; must not block or throw.
  virtual bool reached(std::uint64_t place) const = 0;
};

// Everything given to a stream up to some call; by default nothing, which is done.
class StreamPoint {
 public:
  StreamPoint() = default;
  StreamPoint(std::shared_ptr<const StreamProgress> stream, std::uint64_t place)
      : stream_(std::move(stream)), place_(place) {}
  bool done() const { return stream_ == nullptr || stream_->reached(place_); }
  bool same_stream(const StreamPoint& other) const { return stream_ == other.stream_; }

 private:
  std::shared_ptr<const StreamProgress> stream_;
  std::uint64_t place_ = 0;
};

}  // namespace accel
