#include "packed.hpp"

#include <cstring>
#include <string>

#include "lanes.hpp"
#include "runtime/fault.hpp"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

namespace accel_cpu::coding {
namespace {

struct Header {
  char magic[4];
  std::uint16_t version;
  std::uint8_t scale_bits, lanes;
  std::uint32_t bins, model_check;
  std::uint64_t layers, tokens, channels;
  std::uint32_t chunks, groups;
  std::uint64_t total_bytes;
  std::uint32_t directory_check, header_check;
};
static_assert(sizeof(Header) == ACCEL_CODEC_HEADER_BYTES, "no padding");

constexpr char kMagic[4] = {'A', 'K', 'V', 'C'};
constexpr std::uint64_t kMostExtent = std::uint64_t{1} << 31;
constexpr std::size_t kEntry = ACCEL_CODEC_ENTRY_BYTES;

std::uint32_t header_check(const Header& header) {
  return kernels().check(reinterpret_cast<const std::uint8_t*>(&header), sizeof header / 4 - 1, 0,
                         ACCEL_CODEC_SEED_HEADER);
}

std::uint32_t directory_check(const std::uint8_t* directory, std::size_t streams) {
  return kernels().check(directory, streams * (kEntry / 4), 0, ACCEL_CODEC_SEED_DIRECTORY);
}

struct Refuse {
  const char* argument;

  [[noreturn]] void operator()(const std::string& expected, const std::string& given,
                               const std::string& cure = "") const {
    throw ArgumentFault(ArgumentFault::Kind::Codec, argument, expected, given, cure);
  }
};

constexpr char kDamaged[] = "fetch or encode it again: it was changed after it was encoded";

}  // namespace

Packed::Packed(const std::uint8_t* data, std::size_t size, const char* argument) {
  const Refuse refuse{argument};
  Header h;
  if (size < sizeof h) {
    refuse("encoded KV of at least " + std::to_string(sizeof h) + " bytes",
           std::to_string(size) + " bytes");
  }
  std::memcpy(&h, data, sizeof h);
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0) {
    refuse("encoded KV, which begins with 'AKVC'", "other data", "pass what encode returned");
  }
  if (h.version != ACCEL_CODEC_VERSION) {
    refuse("format version " + std::to_string(ACCEL_CODEC_VERSION),
           "version " + std::to_string(h.version), "decode with the release that encoded it");
  }
  if (h.header_check != header_check(h)) refuse("a sound header", "a damaged one", kDamaged);
  if (h.scale_bits != ACCEL_CODEC_SCALE_BITS || h.lanes != ACCEL_CODEC_LANES || h.bins < 1 ||
      h.bins > kMostBins || h.layers >= kMostExtent || h.tokens >= kMostExtent ||
      h.channels >= kMostExtent) {
    refuse("a header within the limits of version 1", "a foreign one");
  }
  if (h.total_bytes != size) {
    refuse(std::to_string(h.total_bytes) + " bytes as its header says",
           std::to_string(size) + " bytes",
           h.total_bytes > size ? "it was truncated: pass all of it"
                                : "pass no more than its bytes");
  }
  bins = h.bins;
  model_check = h.model_check;
  split.layers = h.layers;
  split.tokens = h.tokens;
  split.channels = h.channels;
  split.rows = (h.channels + kLanes - 1) / kLanes;
  split.chunks = h.chunks;
  split.groups = h.groups;
  const bool empty = h.layers == 0 || h.tokens == 0 || h.channels == 0;
  const bool sound = empty ? h.chunks == 0 && h.groups == 0
                           : h.chunks >= 1 && h.chunks <= h.tokens && h.groups >= 1 &&
                                 h.groups <= split.rows;
  if (!sound) refuse("chunks of tokens and groups of channels", "more than there are, or none");
  // Every factor is bounded by the size before it is multiplied.
  const std::uint64_t most = (size - sizeof h) / kEntry;
  const std::uint64_t per_layer = std::uint64_t{h.chunks} * h.groups;
  if (!empty && (per_layer > most || h.layers > most / per_layer)) {
    refuse("a directory of all streams", "too few bytes for one", kDamaged);
  }
  split.streams = empty ? 0 : h.layers * per_layer;
  const std::uint8_t* const directory = data + sizeof h;
  const std::size_t payload_bytes = size - sizeof h - split.streams * kEntry;
  payload_ = directory + split.streams * kEntry;
  entries_.resize(split.streams + 1);
  std::memcpy(entries_.data(), directory, split.streams * kEntry);
  const auto* kept = reinterpret_cast<const std::uint8_t*>(entries_.data());
  if (h.directory_check != directory_check(kept, split.streams)) {
    refuse("a sound directory", "a damaged one", kDamaged);
  }
  if (payload_bytes % 4 != 0 || payload_bytes / 4 > 0xFFFFFFFFu ||
      (split.streams == 0 && payload_bytes != 0)) {
    refuse("streams in units of 4 bytes", std::to_string(payload_bytes) + " bytes of them");
  }
  entries_.back() = {static_cast<std::uint32_t>(payload_bytes / 4), 0};
  if (entries_.front().start != 0) refuse("a first stream at 0", "one elsewhere");
  for (std::size_t i = 0; i < split.streams; ++i) {
    const std::uint32_t begin = entries_[i].start, end = entries_[i + 1].start;
    if (end < begin || end > payload_bytes / 4 ||
        end - begin < accel_codec_stream_at(&split, i).lanes) {
      refuse("streams within the data", "stream " + std::to_string(i) + " at units " +
                                            std::to_string(begin) + " to " + std::to_string(end) +
                                            " of " + std::to_string(payload_bytes / 4));
    }
  }
}

StreamBytes Packed::stream(std::size_t index) const {
  const std::size_t begin = entries_[index].start, end = entries_[index + 1].start;
  return {payload_ + begin * 4, (end - begin) * 4, entries_[index].check};
}

std::size_t packed_overhead(const Split& split) { return sizeof(Header) + split.streams * kEntry; }

std::size_t packed_bound(const Split& split) {
  std::size_t bytes = 0;
  // Streams of one layer; all layers are alike.
  for (std::uint64_t i = 0; i < split.chunks * split.groups; ++i) {
    const accel_codec_stream place = accel_codec_stream_at(&split, i);
    bytes += accel_codec_stream_bound(&place);
  }
  return packed_overhead(split) + bytes * split.layers;
}

PackedWriter::PackedWriter(std::uint8_t* out, const Split& split)
    : out_(out), split_(split), at_(packed_overhead(split)) {}

std::size_t PackedWriter::reserve(std::size_t bytes) {
  const std::size_t offset = at_;
  at_ += bytes;
  return offset;
}

void PackedWriter::put(std::size_t index, std::size_t offset, std::uint32_t check) {
  const std::uint32_t entry[2] = {
      static_cast<std::uint32_t>((offset - packed_overhead(split_)) / 4), check};
  static_assert(sizeof entry == kEntry);
  std::memcpy(out_ + sizeof(Header) + index * kEntry, entry, sizeof entry);
}

std::size_t PackedWriter::finish(std::uint32_t bins, std::uint32_t model_check) {
  Header h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.version = ACCEL_CODEC_VERSION;
  h.scale_bits = ACCEL_CODEC_SCALE_BITS;
  h.lanes = ACCEL_CODEC_LANES;
  h.bins = bins;
  h.model_check = model_check;
  h.layers = split_.layers;
  h.tokens = split_.tokens;
  h.channels = split_.channels;
  h.chunks = static_cast<std::uint32_t>(split_.chunks);
  h.groups = static_cast<std::uint32_t>(split_.groups);
  h.total_bytes = at_;
  h.directory_check = directory_check(out_ + sizeof h, split_.streams);
  h.header_check = header_check(h);
  std::memcpy(out_, &h, sizeof h);
  return at_;
}

}  // namespace accel_cpu::coding
