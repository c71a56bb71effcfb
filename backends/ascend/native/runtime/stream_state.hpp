// What this process keeps for a stream, beside ACL's and torch_npu's own: how far it has got, and
// what its work keeps alive. The GIL guards it.
//
//   StreamState& state = StreamState::of(device, handle);   // made on first use, never destroyed
//
// Streams are torch_npu's, which are never destroyed.
#pragma once

#include <accel/kept_references.hpp>
#include <accel/stream_marks.hpp>

#include <memory>

#include "../acl/device.hpp"

namespace accel_ascend {

class AclMarks : public accel::StreamMarks {
 public:
  AclMarks(int device, StreamHandle stream) : device_(device), stream_(stream) {}

 protected:
  void* record() const override;
  bool complete(void* event) const override;
  void release(void* event) const override;

 private:
  const int device_;
  const StreamHandle stream_;
  mutable std::vector<EventHandle> spare_;
};

struct StreamState {
  StreamState(int device_, StreamHandle handle_)
      : device(device_),
        handle(handle_),
        marks(std::make_shared<AclMarks>(device_, handle_)),
        kept(marks) {}

  static StreamState& of(int device, StreamHandle handle);
  static std::vector<StreamState*> all_of(int device);
  // Of every stream that was asked for.
  static std::size_t count_kept();
  static void release_passed();

  // All work given so far, or at least that.
  accel::StreamPoint point() const { return {marks, marks->next()}; }
  accel::StreamPoint exact_point() const { return {marks, marks->next_exact()}; }

  const int device;
  const StreamHandle handle;
  const std::shared_ptr<AclMarks> marks;
  accel::KeptReferences kept;
};

// Blocks until the stream's work so far has run; lets go of the GIL.
void wait_for(const StreamState& state);

}  // namespace accel_ascend
