#include "coder.hpp"

#include <accel/errors.hpp>

#include <algorithm>
#include <string>

#include "findings.hpp"
#include "kernels/coding_findings.h"

namespace accel_cuda::coding {
namespace {

constexpr std::size_t kMostScratch = std::size_t{1} << 30;  // of words; then streams go in waves
constexpr unsigned kAssembleThreads = 256, kVerifyThreads = 256, kModelThreads = 256;
constexpr std::uint64_t kMostBlocks = 0x7FFFFFFF;

std::size_t pairs_bytes(std::uint32_t bins) {
  return std::size_t{bins + 1} * (ACCEL_CODEC_LANES + 1) * 4;
}

constexpr unsigned kCoderThreads = 128;

// With few bins the next row's pairs are built while one is coded; with many, two sets of them would
// leave no room for other streams on the multiprocessor.
bool builds_ahead(std::uint32_t bins) { return bins <= 128; }

// The same of decoding, which wants more of it.
bool decodes_ahead(std::uint32_t bins) { return bins <= 32; }

// Rows of few tokens are over before a table would pay.
std::uint32_t table_for(std::uint32_t bins, std::uint64_t tokens) {
  if (tokens < 16) return CODING_TABLE_NONE;
  return bins <= 64 ? CODING_TABLE_WIDE : CODING_TABLE_FIRST;
}

accel_codec_split split_of(const Extents& e) {
  return accel_codec_choose_split(e.layers, e.tokens, e.channels);
}

// 16-bit words that a stream may give: one a symbol of the largest, which is the first.
std::uint64_t words_of(const accel_codec_split& split) {
  if (split.streams == 0) return 0;
  const accel_codec_stream largest = accel_codec_stream_at(&split, 0);
  return ACCEL_CODEC_LANES * largest.rows * largest.tokens;
}

struct Scratch {
  std::uint64_t wave = 0;  // streams at a time
  std::size_t states = 0, sizes = 0, bytes = 0;
};

Scratch scratch_of(const accel_codec_split& split) {
  Scratch s;
  if (split.streams == 0) return s;
  const std::uint64_t each = words_of(split) * 2;
  s.wave = std::min<std::uint64_t>(
      {split.streams, std::max<std::uint64_t>(1, kMostScratch / each), kMostBlocks});
  s.states = s.wave * each;
  s.sizes = s.states + s.wave * ACCEL_CODEC_LANES * 4;
  s.bytes = s.sizes + s.wave * 8;
  return s;
}

}  // namespace

std::size_t model_shared(std::uint32_t bins) {
  return std::size_t{bins} * 32 * 4 + std::size_t{bins + 1} * 32 * 2;
}

std::size_t encode_shared(std::uint32_t bins) {
  return pairs_bytes(bins) * (builds_ahead(bins) ? 2 : 1);
}

std::size_t decode_shared(std::uint32_t bins, std::uint64_t tokens) {
  constexpr std::size_t kRingBytes = 2048;
  const std::uint32_t table = table_for(bins, tokens);
  const std::size_t buckets = table == CODING_TABLE_WIDE    ? CODING_WIDE_BUCKETS * 32 * 9
                              : table == CODING_TABLE_FIRST ? CODING_FIRST_BUCKETS * 32
                                                            : 0;
  return kRingBytes + buckets + pairs_bytes(bins) * (decodes_ahead(bins) ? 3 : 1);
}

std::size_t encode_bound(const Extents& e) {
  const accel_codec_split split = split_of(e);
  std::size_t bytes = 0;  // of one layer: all are alike
  for (std::uint64_t i = 0; i < split.chunks * split.groups; ++i) {
    const accel_codec_stream place = accel_codec_stream_at(&split, i);
    bytes += accel_codec_stream_bound(&place);
  }
  return ACCEL_CODEC_HEADER_BYTES + split.streams * ACCEL_CODEC_ENTRY_BYTES + bytes * e.layers;
}

Coder::Coder(const Device& device_, const Kernels& kernels)
    : device(device_), kernels_(kernels), states_(device_), results_(device_) {
  results_.give(results_.take());  // memory is taken now: later, that might wait for a stream
}

unsigned Coder::blocks(std::uint64_t wanted, unsigned per_multiprocessor) const {
  const auto most = static_cast<std::uint64_t>(device.properties().multiprocessors) *
                    per_multiprocessor;
  return static_cast<unsigned>(std::clamp<std::uint64_t>(wanted, 1, most));
}

// A zeroed coding_state for one call.
std::uint64_t Coder::begin(Runtime&, StreamHandle stream, bool capturing) {
  const DevicePointer state = capturing ? states_.for_graph() : states_.of_stream(stream);
  ACCEL_CUDA_CALL(memset_8_async, state, 0, sizeof(coding_state), stream);
  return state;
}

void Coder::make_model(const coding_symbols& symbols, const Extents& extents, std::uint32_t bins,
                       bool exact, std::uint64_t model, StreamHandle stream) {
  if (extents.layers == 0 || extents.channels == 0) return;
  Runtime& runtime = Runtime::of(device);
  coding_model_args args{};
  args.symbols = symbols;
  args.layers = extents.layers;
  args.tokens = extents.tokens;
  args.channels = extents.channels;
  args.model = model;
  args.fault = runtime.state(stream).fault_address();
  args.bins = bins;
  args.exact = exact;
  const bool capturing = is_capturing(stream);
  Submission submission(runtime);
  std::lock_guard<std::mutex> lock(mutex_);
  args.state = begin(runtime, stream, capturing);
  const std::uint64_t parts = (extents.channels + 31) / 32;
  const unsigned grid = static_cast<unsigned>(std::min<std::uint64_t>(extents.layers * parts, kMostBlocks));
  launch(device, kernels_.model, {grid}, kModelThreads, static_cast<unsigned>(model_shared(bins)),
         stream, &args);
}

void Coder::decode(std::uint64_t data, std::uint64_t bytes, std::uint64_t model,
                   std::uint32_t bins, const coding_symbols& out, const Extents& extents,
                   StreamHandle stream) {
  Runtime& runtime = Runtime::of(device);
  coding_decode_args args{};
  args.out = out;
  args.layers = extents.layers;
  args.tokens = extents.tokens;
  args.channels = extents.channels;
  args.data = data;
  args.bytes = bytes;
  args.model = model;
  args.fault = runtime.state(stream).fault_address();
  args.bins = bins;
  args.ahead = decodes_ahead(bins);
  args.table = table_for(bins, extents.tokens);
  const bool capturing = is_capturing(stream);
  Submission submission(runtime);
  std::lock_guard<std::mutex> lock(mutex_);
  args.state = begin(runtime, stream, capturing);
  // The container may be split in other ways than encoders choose; then blocks take turns.
  const std::uint64_t streams = split_of(extents).streams;
  const std::uint64_t entries = extents.layers * extents.channels * (bins + 1);
  launch(device, kernels_.verify, {blocks(std::max<std::uint64_t>(streams, entries / 4096), 8)}, kVerifyThreads, 0,
         stream, &args);
  launch(device, kernels_.decode,
         {static_cast<unsigned>(std::clamp<std::uint64_t>(streams, 1, kMostBlocks))},
         kCoderThreads, static_cast<unsigned>(decode_shared(bins, extents.tokens)),
         stream, &args);
}

std::size_t Coder::scratch_bytes(const Extents& extents) {
  return scratch_of(split_of(extents)).bytes;
}

void Coder::launch_encode(coding_encode_args args, StreamHandle stream) {
  // Without a stream there is a header still, and a model to look at.
  const auto grid = static_cast<unsigned>(std::max<std::uint64_t>(args.count, 1));
  launch(device, kernels_.encode, {grid}, kCoderThreads,
         static_cast<unsigned>(encode_shared(args.bins)), stream, &args);
  if (args.dry) return;
  launch(device, kernels_.assemble, {grid}, kAssembleThreads, 0, stream, &args);
}

std::size_t Coder::encode(const coding_symbols& symbols, const Extents& extents,
                          std::uint64_t model, std::uint32_t bins, std::uint64_t out,
                          std::uint64_t scratch, StreamHandle stream) {
  if (is_capturing(stream)) {
    accel::fail_message("StateError",
                        "encode waits for how many bytes there are, so it cannot be captured: "
                        "encode before or after the capture");
  }
  const accel_codec_split split = split_of(extents);
  const Scratch parts = scratch_of(split);
  Runtime& runtime = Runtime::of(device);
  const ResultSlots::Slot result = results_.take();
  coding_encode_args args{};
  args.symbols = symbols;
  args.split = split;
  args.model = model;
  args.words = scratch;
  args.stride = words_of(split);
  args.states = scratch + parts.states;
  args.sizes = scratch + parts.sizes;
  args.out = out;
  args.result = result.device;
  args.bins = bins;
  args.twice = builds_ahead(bins);
  EventHandle event = nullptr;
  {
    Submission submission(runtime);
    std::lock_guard<std::mutex> lock(mutex_);
    args.state = begin(runtime, stream, false);
    args.count = parts.wave;
    args.look = 1;
    args.last = 1;
    if (parts.wave >= split.streams) {
      launch_encode(args, stream);
    } else {
      // Nothing may be written before all is known to be sound, so all is looked at first.
      args.dry = 1;
      for (args.first = 0; args.first < split.streams; args.first += parts.wave) {
        args.count = std::min<std::uint64_t>(parts.wave, split.streams - args.first);
        launch_encode(args, stream);
      }
      args.dry = args.look = 0;
      for (args.first = 0; args.first < split.streams; args.first += parts.wave) {
        args.count = std::min<std::uint64_t>(parts.wave, split.streams - args.first);
        args.last = args.first + args.count == split.streams;
        launch_encode(args, stream);
      }
    }
    event = runtime.take_event();
    ACCEL_CUDA_CALL(event_record, event, stream);
  }
  Result status = kSuccess;
  wait_interruptibly([&] {
    status = driver().event_query(event);
    return status != kNotReady;
  });
  check(status, Entry::event_query);
  runtime.give_event(event);
  const coding_result found = *const_cast<const coding_result*>(result.host);
  results_.give(result);
  if (found.key != CODING_NO_FINDING) {
    Finding finding;
    finding.kind = CODING_KEY_KIND(found.key);
    finding.where = CODING_KEY_WHERE(found.key);
    finding.bins = bins;
    finding.facts[0] = found.value;
    finding.facts[1] = extents.tokens;
    finding.facts[2] = extents.channels;
    raise_finding(finding);
  }
  return static_cast<std::size_t>(found.bytes);
}

}  // namespace accel_cuda::coding
