// The rules for slot lists, checked on the host before anything is written: shared by all native
// plugins. C++17, standard library only. The same rules in torch operators: accel/kv/slots.py.
//
// Two lists of equal length name pairs (source unit, destination unit). A pair in which either side
// is negative is padding. An index must be below its cache's units; a destination may be named
// once; where source and destination are the same cache, no unit may be both read and written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace accel {

// A 1-D index tensor on the host; without data, the indices 0, 1, 2, ...
struct SlotList {
  const void* data = nullptr;
  std::int64_t size = 0;
  std::int64_t stride = 1;  // elements
  bool wide = true;         // int64, else int32

  std::int64_t operator[](std::int64_t i) const {
    if (data == nullptr) return i;
    return wide ? static_cast<const std::int64_t*>(data)[i * stride]
                : static_cast<const std::int32_t*>(data)[i * stride];
  }
};

// The pairs that are not padding, in the order of the lists.
struct SlotPairs {
  std::vector<std::int64_t> src, dst;
};

struct SlotFault {
  enum class Kind { None, SourceRange, DestinationRange, Repeated, ReadAndWritten };
  Kind kind = Kind::None;
  std::int64_t slot = 0;      // the offending index
  std::int64_t position = 0;  // where it stands, for the range faults
  std::int64_t bound = 0;     // what it must be below, for the range faults

  explicit operator bool() const { return kind != Kind::None; }
  bool in_source() const { return kind == Kind::SourceRange; }
  bool is_overlap() const { return kind == Kind::Repeated || kind == Kind::ReadAndWritten; }

  std::string expected() const {
    switch (kind) {
      case Kind::Repeated: return "each destination once";
      case Kind::ReadAndWritten: return "destinations that are not also sources of the same cache";
      default: return "indices below " + std::to_string(bound);
    }
  }
  std::string given() const {
    switch (kind) {
      case Kind::Repeated: return std::to_string(slot) + " more than once";
      case Kind::ReadAndWritten: return std::to_string(slot) + " is read and written";
      default: return std::to_string(slot) + " at position " + std::to_string(position);
    }
  }
  std::string cure() const {
    return kind == Kind::ReadAndWritten ? "transfer through another cache, or in two calls" : "";
  }
};

namespace detail {

// A set of small integers that costs nothing to empty: a bitmap kept by the thread, of which only
// the words that were touched are cleared.
class SlotSet {
 public:
  static constexpr std::int64_t kMostUnits = std::int64_t{1} << 27;  // 16 MiB of bits

  explicit SlotSet(std::int64_t units) : bits_(storage()) {
    const auto words = static_cast<std::size_t>((units + 63) / 64);
    if (bits_.size() < words) bits_.resize(words, 0);
  }
  SlotSet(const SlotSet&) = delete;
  SlotSet& operator=(const SlotSet&) = delete;

  bool contains(std::int64_t slot) const { return bits_[word(slot)] >> (slot & 63) & 1; }
  bool insert(std::int64_t slot) {  // false when it was there
    std::uint64_t& w = bits_[word(slot)];
    const std::uint64_t bit = std::uint64_t{1} << (slot & 63);
    const bool fresh = (w & bit) == 0;
    w |= bit;
    return fresh;
  }
  void clear(const std::vector<std::int64_t>& slots) {
    for (const std::int64_t slot : slots) bits_[word(slot)] = 0;
  }

 private:
  static std::size_t word(std::int64_t slot) { return static_cast<std::size_t>(slot >> 6); }
  static std::vector<std::uint64_t>& storage() {
    static thread_local std::vector<std::uint64_t> bits;
    return bits;
  }
  std::vector<std::uint64_t>& bits_;
};

inline bool strictly_increasing(const std::vector<std::int64_t>& v) {
  for (std::size_t i = 1; i < v.size(); ++i) {
    if (v[i] <= v[i - 1]) return false;
  }
  return true;
}

// The smallest destination named twice; called when one is known to exist, or to find out.
inline bool smallest_repeated(std::vector<std::int64_t> v, std::int64_t* slot) {
  std::sort(v.begin(), v.end());
  const auto at = std::adjacent_find(v.begin(), v.end());
  if (at == v.end()) return false;
  *slot = *at;
  return true;
}

inline bool few(const std::vector<std::int64_t>& v) { return v.size() <= 16; }

inline bool repeats(const std::vector<std::int64_t>& v, std::int64_t units) {
  if (strictly_increasing(v)) return false;
  if (few(v)) {
    for (std::size_t i = 1; i < v.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (v[i] == v[j]) return true;
      }
    }
    return false;
  }
  if (units > SlotSet::kMostUnits) {
    std::int64_t slot;
    return smallest_repeated(v, &slot);
  }
  SlotSet seen(units);
  bool repeated = false;
  for (const std::int64_t slot : v) repeated |= !seen.insert(slot);
  seen.clear(v);
  return repeated;
}

// The first of `dst` that is also in `src`.
inline bool first_common(const SlotPairs& pairs, std::int64_t units, std::int64_t* slot) {
  const auto& [src, dst] = pairs;
  if (few(dst) || units > SlotSet::kMostUnits) {
    std::vector<std::int64_t> sorted(src);
    std::sort(sorted.begin(), sorted.end());
    for (const std::int64_t d : dst) {
      if (std::binary_search(sorted.begin(), sorted.end(), d)) {
        *slot = d;
        return true;
      }
    }
    return false;
  }
  SlotSet read(units);
  for (const std::int64_t s : src) read.insert(s);
  const auto at =
      std::find_if(dst.begin(), dst.end(), [&](std::int64_t d) { return read.contains(d); });
  read.clear(src);
  if (at == dst.end()) return false;
  *slot = *at;
  return true;
}

}  // namespace detail

// The pairs to move, or the first broken rule (`pairs` then means nothing). The lists have equal
// lengths; callers check that, and their element types, with words of their own.
inline SlotFault check_slots(const SlotList& src, const SlotList& dst, std::int64_t src_units,
                             std::int64_t dst_units, bool same_cache, SlotPairs* pairs) {
  using Kind = SlotFault::Kind;
  const auto n = static_cast<std::size_t>(src.size);
  pairs->src.clear();
  pairs->dst.clear();
  pairs->src.reserve(n);
  pairs->dst.reserve(n);
  bool too_large = false;
  for (std::int64_t i = 0; i < src.size; ++i) {
    const std::int64_t s = src[i], d = dst[i];
    if (s < 0 || d < 0) continue;
    too_large |= s >= src_units || d >= dst_units;
    pairs->src.push_back(s);
    pairs->dst.push_back(d);
  }
  if (too_large) {
    const struct {
      const SlotList& list;
      std::int64_t units;
      Kind kind;
    } sides[] = {{src, src_units, Kind::SourceRange}, {dst, dst_units, Kind::DestinationRange}};
    for (const auto& side : sides) {
      for (std::int64_t i = 0; i < src.size; ++i) {
        const bool kept = src[i] >= 0 && dst[i] >= 0;
        if (kept && side.list[i] >= side.units) {
          return {side.kind, side.list[i], i, side.units};
        }
      }
    }
  }
  SlotFault fault;
  if (detail::repeats(pairs->dst, dst_units)) {
    fault.kind = Kind::Repeated;
    detail::smallest_repeated(pairs->dst, &fault.slot);
  } else if (same_cache && detail::first_common(*pairs, src_units, &fault.slot)) {
    fault.kind = Kind::ReadAndWritten;
  }
  return fault;
}

}  // namespace accel
