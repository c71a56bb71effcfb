// Copies and fills.
#include "accel_sim/copies.hpp"

#include <vector>

#include "accel_sim/modes.hpp"
#include "api.hpp"

using namespace ascendcl;
using accel_sim::Copy;
using accel_sim::Copy2d;
using accel_sim::Direction;

namespace {

constexpr std::size_t kMaxRows = 5 * 1024 * 1024;

struct Location {
  std::uint32_t id;
  std::uint32_t type;
};

struct BatchAttribute {
  Location target;
  Location source;
  std::uint8_t reserved[16];
};

Direction direction_of(int kind) {
  switch (kind) {
    case 0: return Direction::host_to_host;
    case 1:
    case 5: return Direction::host_to_device;
    case 2: return Direction::device_to_host;
    case 3:
    case 6:
    case 7: return Direction::device_to_device;
    case 4: return Direction::inferred;
    default: throw Failure(kInvalidParameter, "there is no kind of copy " + std::to_string(kind));
  }
}

// Asynchronous copies inside the host are refused by every release.
void require_a_device(const Direction direction, const void* target, const void* source) {
  const bool host = direction == Direction::host_to_host ||
                    (direction == Direction::inferred && !accel_sim::is_device_address(target) &&
                     !accel_sim::is_device_address(source));
  if (host) throw Failure(Kind::not_supported, "an asynchronous copy inside the host");
}

// The documented limits of 2-D copies: between host and device only, and so many rows.
void require_2d(const Copy2d& what) {
  if (what.height > kMaxRows) {
    throw Failure(kInvalidParameter, "a 2-D copy of " + std::to_string(what.height) +
                                         " rows: at most " + std::to_string(kMaxRows));
  }
  const bool target = accel_sim::is_device_address(what.target);
  const bool source = accel_sim::is_device_address(what.source);
  if (accel_sim::modes().strict && target == source) {
    throw Failure(Kind::not_supported, "a 2-D copy is between host and device, not inside one");
  }
}

void require_batch_rules(const BatchAttribute* attributes, const std::size_t* indexes,
                         std::size_t count, std::size_t items) {
  required(attributes, "attrs");
  required(indexes, "attrsIndexes");
  if (count == 0 || count > items || indexes[0] != 0) {
    throw Failure(kInvalidParameter, "attributes begin at item 0 and are no more than the items");
  }
  for (std::size_t one = 1; one < count; ++one) {
    if (indexes[one] <= indexes[one - 1] || indexes[one] >= items) {
      throw Failure(kInvalidParameter, "attribute indexes rise and stay below the number of items");
    }
  }
}

void require_location(const Location& said, const void* pointer, const char* which) {
  const bool device = accel_sim::is_device_address(pointer);
  if ((said.type == 1) == device) {
    if (!device) return;
    const int actual = accel_sim::where_is(pointer).device;
    if (actual < 0 || static_cast<int>(said.id) == actual) return;
  }
  throw Failure(kInvalidParameter, std::string("the ") + which +
                                       " of the item is not where its attribute says");
}

// Checks the whole batch before anything is copied; *failed is the first item at fault.
std::vector<Copy> batch(void** targets, const std::size_t* rooms, void** sources,
                        const std::size_t* sizes, std::size_t items,
                        const BatchAttribute* attributes, const std::size_t* indexes,
                        std::size_t count, std::size_t* failed) {
  if (!pose().is_910b()) {
    throw Failure(Kind::not_supported, "batched copies need an A2 or A3 product, not " +
                                           pose().soc);
  }
  required(targets, "dsts");
  required(rooms, "destMaxs");
  required(sources, "srcs");
  required(sizes, "sizes");
  if (items == 0) throw Failure(kInvalidParameter, "a batch of no copies");
  require_batch_rules(attributes, indexes, count, items);
  std::vector<Copy> all;
  std::size_t attribute = 0;
  for (std::size_t item = 0; item < items; ++item) {
    if (attribute + 1 < count && indexes[attribute + 1] == item) ++attribute;
    if (failed) *failed = item;
    require_location(attributes[attribute].target, targets[item], "target");
    require_location(attributes[attribute].source, sources[item], "source");
    const bool to_device = accel_sim::is_device_address(targets[item]);
    if (to_device == accel_sim::is_device_address(sources[item])) {
      throw Failure(Kind::not_supported, "a batched copy is between host and device");
    }
    all.push_back({targets[item], rooms[item], sources[item], sizes[item],
                   to_device ? Direction::host_to_device : Direction::device_to_host});
    if (all.front().direction != all.back().direction) {
      throw Failure(Kind::not_supported, "one batch copies in one direction");
    }
  }
  if (failed) *failed = SIZE_MAX;
  return all;
}

int batch_async(const char* name, void** targets, std::size_t* rooms, void** sources,
                std::size_t* sizes, std::size_t items, BatchAttribute* attributes,
                std::size_t* indexes, std::size_t count, std::size_t* failed, void* stream) {
  if (failed) *failed = SIZE_MAX;
  return guarded(name, [&] {
    require_release(805, name);
    const std::vector<Copy> all =
        batch(targets, rooms, sources, sizes, items, attributes, indexes, count, failed);
    accel_sim::copy_batch_async(name, all.data(), all.size(), failed, accel_sim::stream_of(stream));
  });
}

int batch_now(const char* name, void** targets, std::size_t* rooms, void** sources,
              std::size_t* sizes, std::size_t items, BatchAttribute* attributes,
              std::size_t* indexes, std::size_t count, std::size_t* failed) {
  if (failed) *failed = SIZE_MAX;
  return guarded(name, [&] {
    require_release(805, name);
    for (const Copy& one :
         batch(targets, rooms, sources, sizes, items, attributes, indexes, count, failed)) {
      accel_sim::copy(name, one);
    }
  });
}

}  // namespace

ACL_EXPORT int aclrtMemcpy(void* target, std::size_t room, const void* source, std::size_t bytes,
                           int kind) {
  return guarded("aclrtMemcpy", [&] {
    accel_sim::current_device_index();
    accel_sim::copy("aclrtMemcpy", {target, room, source, bytes, direction_of(kind)});
  });
}

ACL_EXPORT int aclrtMemcpyAsync(void* target, std::size_t room, const void* source,
                                std::size_t bytes, int kind, void* stream) {
  return guarded("aclrtMemcpyAsync", [&] {
    const Direction direction = direction_of(kind);
    require_a_device(direction, target, source);
    accel_sim::copy_async("aclrtMemcpyAsync", {target, room, source, bytes, direction},
                          accel_sim::stream_of(stream));
  });
}

// What torch_npu prefers where it is: as the plain one.
ACL_EXPORT int aclrtMemcpyAsyncWithCondition(void* target, std::size_t room, const void* source,
                                             std::size_t bytes, int kind, void* stream) {
  return guarded("aclrtMemcpyAsyncWithCondition", [&] {
    require_release(805, "aclrtMemcpyAsyncWithCondition");
    const Direction direction = direction_of(kind);
    require_a_device(direction, target, source);
    accel_sim::copy_async("aclrtMemcpyAsyncWithCondition", {target, room, source, bytes, direction},
                          accel_sim::stream_of(stream));
  });
}

ACL_EXPORT int aclrtMemcpy2d(void* target, std::size_t target_pitch, const void* source,
                             std::size_t source_pitch, std::size_t width, std::size_t height,
                             int kind) {
  return guarded("aclrtMemcpy2d", [&] {
    const Copy2d what{target, target_pitch, source, source_pitch, width, height,
                      direction_of(kind)};
    require_2d(what);
    accel_sim::current_device_index();
    accel_sim::copy_2d("aclrtMemcpy2d", what);
  });
}

ACL_EXPORT int aclrtMemcpy2dAsync(void* target, std::size_t target_pitch, const void* source,
                                  std::size_t source_pitch, std::size_t width, std::size_t height,
                                  int kind, void* stream) {
  return guarded("aclrtMemcpy2dAsync", [&] {
    const Copy2d what{target, target_pitch, source, source_pitch, width, height,
                      direction_of(kind)};
    require_2d(what);
    accel_sim::copy_2d_async("aclrtMemcpy2dAsync", what, accel_sim::stream_of(stream));
  });
}

ACL_EXPORT int aclrtMemcpyBatchAsync(void** targets, std::size_t* rooms, void** sources,
                                     std::size_t* sizes, std::size_t items,
                                     BatchAttribute* attributes, std::size_t* indexes,
                                     std::size_t count, std::size_t* failed, void* stream) {
  return batch_async("aclrtMemcpyBatchAsync", targets, rooms, sources, sizes, items, attributes,
                     indexes, count, failed, stream);
}

ACL_EXPORT int aclrtMemcpyBatch(void** targets, std::size_t* rooms, void** sources,
                                std::size_t* sizes, std::size_t items, BatchAttribute* attributes,
                                std::size_t* indexes, std::size_t count, std::size_t* failed) {
  return batch_now("aclrtMemcpyBatch", targets, rooms, sources, sizes, items, attributes, indexes,
                   count, failed);
}

ACL_EXPORT int aclrtMemset(void* target, std::size_t room, std::int32_t value, std::size_t bytes) {
  return guarded("aclrtMemset", [&] {
    accel_sim::current_device_index();
    accel_sim::fill("aclrtMemset", target, room, value, bytes);
  });
}

ACL_EXPORT int aclrtMemsetAsync(void* target, std::size_t room, std::int32_t value,
                                std::size_t bytes, void* stream) {
  return guarded("aclrtMemsetAsync", [&] {
    accel_sim::fill_async("aclrtMemsetAsync", target, room, value, bytes,
                          accel_sim::stream_of(stream));
  });
}
