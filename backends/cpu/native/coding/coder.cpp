#include "coder.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lanes.hpp"
#include "model_check.hpp"
#include "runtime/fault.hpp"
#include "runtime/parallel.hpp"

namespace accel_cpu::coding {
namespace {

StreamSymbols part_of(const Symbols& s, const Model& model, const accel_codec_stream& place) {
  const std::size_t channel = place.row * kLanes;
  StreamSymbols part;
  part.symbols = s.data + static_cast<std::ptrdiff_t>(place.layer) * s.layer_stride +
                 static_cast<std::ptrdiff_t>(place.token) * s.token_stride + channel;
  part.token_stride = s.token_stride;
  part.model = model.data + (place.layer * s.channels + channel) * (model.bins + 1);
  part.bins = model.bins;
  part.tokens = place.tokens;
  part.rows = place.rows;
  part.channels = s.channels - channel;
  return part;
}

// Memory for one stream, which is encoded from the end down: kSlack words, states, a word a symbol,
// padding. That is more than the bound of a stream, so that nothing is written outside even if
// another thread changes the symbols meanwhile.
class Scratch {
 public:
  explicit Scratch(std::size_t symbols)
      : words_(kSlack + 2 * kLanes + symbols + 1), memory_(new std::uint16_t[words_]) {}

  void encode(const Symbols& s, const Model& model, const accel_codec_stream& place,
              std::size_t index) {
    std::uint32_t states[kLanes];
    std::uint16_t* const end = memory_.get() + words_ - 1;
    std::uint16_t* begin = kernels().encode(part_of(s, model, place), end, states);
    begin -= place.lanes * 2;
    std::memcpy(begin, states, place.lanes * 4);
    *end = 0;
    data_ = reinterpret_cast<const std::uint8_t*>(begin);
    size_ = static_cast<std::size_t>(end - begin + 1) / 2 * 4;
    check_ = kernels().check(data_, size_ / 4, 0,
                             static_cast<std::uint32_t>(ACCEL_CODEC_SEED_STREAM + index));
    if (size_ > accel_codec_stream_bound(&place)) {
      throw Fault(Fault::Kind::State, "symbols changed while they were being encoded");
    }
  }

  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::uint32_t check() const { return check_; }

 private:
  std::size_t words_;
  std::unique_ptr<std::uint16_t[]> memory_;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  std::uint32_t check_ = 0;
};

// What is wrong with a stream, or null.
const char* decode_stream(const StreamBytes& bytes, const Symbols& out, const Model& model,
                          const accel_codec_stream& place) {
  std::uint32_t states[kLanes];
  std::fill(states, states + kLanes, static_cast<std::uint32_t>(ACCEL_CODEC_STATE_LOW));
  std::memcpy(states, bytes.data, place.lanes * 4);
  for (const std::uint32_t state : states) {
    if (accel_codec_is_low(state)) return "a state below its range";
  }
  const std::size_t words = bytes.size / 2 - place.lanes * 2;
  std::size_t left = 0;
  if (!kernels().decode(part_of(out, model, place), bytes.data + place.lanes * 4, words, states,
                        &left)) {
    return "too few words";
  }
  for (const std::uint32_t state : states) {
    if (state != ACCEL_CODEC_STATE_LOW) return "a lane that does not end where it began";
  }
  const std::uint8_t* end = bytes.data + bytes.size;
  if (left > 1 || (left == 1 && (end[-1] | end[-2]) != 0)) return "words that no lane takes";
  return nullptr;
}

[[noreturn]] void refuse_stream(std::size_t index, const char* why) {
  throw ArgumentFault(ArgumentFault::Kind::Codec, "data", "sound streams",
                      std::string(why) + " in stream " + std::to_string(index),
                      "fetch or encode it again: it was changed after it was encoded");
}

void keep_smallest(std::atomic<std::size_t>& smallest, std::size_t value) {
  std::size_t known = smallest.load();
  while (value < known && !smallest.compare_exchange_weak(known, value)) {
  }
}

void check_streams(const Packed& packed) {
  const std::size_t streams = packed.split.streams;
  std::atomic<std::size_t> first_bad{streams};
  parallel_for(streams, 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const StreamBytes bytes = packed.stream(i);
      const auto seed = static_cast<std::uint32_t>(ACCEL_CODEC_SEED_STREAM + i);
      if (kernels().check(bytes.data, bytes.size / 4, 0, seed) != bytes.check) {
        keep_smallest(first_bad, i);
      }
    }
  });
  if (first_bad.load() < streams) refuse_stream(first_bad.load(), "a wrong check");
}

std::string shape_text(std::size_t layers, std::size_t tokens, std::size_t channels) {
  return "[" + std::to_string(layers) + ", " + std::to_string(tokens) + ", " +
         std::to_string(channels) + "]";
}

}  // namespace

std::size_t encode(const Symbols& s, const Model& model, std::uint8_t* out,
                   std::size_t capacity) {
  const Split split = accel_codec_choose_split(s.layers, s.tokens, s.channels);
  const std::size_t bound = packed_bound(split);
  if (bound > capacity) {
    throw ArgumentFault(ArgumentFault::Kind::Size, "out",
                        "at least " + std::to_string(bound) + " bytes (encode_bound)",
                        std::to_string(capacity));
  }
  if ((bound - packed_overhead(split)) / 4 > 0xFFFFFFFFu) {
    throw ArgumentFault(ArgumentFault::Kind::Size, "symbols",
                        "symbols whose streams fit into 16 GiB", std::to_string(bound) + " bytes",
                        "encode fewer layers or tokens at a time");
  }
  const ModelFacts facts = check_model(model, s.layers, s.channels);
  check_symbols(s, model, facts);
  PackedWriter writer(out, split);
  if (split.streams != 0) {
    const accel_codec_stream largest = accel_codec_stream_at(&split, 0);
    const std::size_t symbols = kLanes * largest.rows * largest.tokens;
    // A wave of streams is encoded beside the output, then put in order behind the last.
    const std::size_t threads = static_cast<std::size_t>(thread_count());
    const std::size_t wave = std::min<std::size_t>(split.streams, threads == 1 ? 1 : threads * 4);
    std::vector<Scratch> scratches;
    scratches.reserve(wave);
    for (std::size_t i = 0; i < wave; ++i) scratches.emplace_back(symbols);
    std::vector<std::size_t> offsets(wave);
    for (std::size_t first = 0; first < split.streams; first += wave) {
      const std::size_t count = std::min<std::size_t>(wave, split.streams - first);
      parallel_for(count, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          scratches[i].encode(s, model, accel_codec_stream_at(&split, first + i), first + i);
        }
      });
      for (std::size_t i = 0; i < count; ++i) offsets[i] = writer.reserve(scratches[i].size());
      parallel_for(count, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          std::memcpy(writer.at(offsets[i]), scratches[i].data(), scratches[i].size());
          writer.put(first + i, offsets[i], scratches[i].check());
        }
      });
    }
  }
  return writer.finish(model.bins, facts.check);
}

void decode(const std::uint8_t* data, std::size_t size, const Model& model, const Symbols& out) {
  const Packed packed(data, size, "data");
  const Split& split = packed.split;
  if (split.layers != out.layers || split.tokens != out.tokens ||
      split.channels != out.channels) {
    throw ArgumentFault(ArgumentFault::Kind::Shape, "out",
                        shape_text(split.layers, split.tokens, split.channels) + " as data holds",
                        shape_text(out.layers, out.tokens, out.channels));
  }
  const ModelFacts facts = check_model(model, out.layers, out.channels);
  if (packed.bins != model.bins || packed.model_check != facts.check) {
    throw ArgumentFault(ArgumentFault::Kind::Codec, "model",
                        "the model that data was encoded with", "another",
                        "keep a model with what was encoded with it");
  }
  check_streams(packed);
  std::mutex mutex;
  std::size_t first_bad = split.streams;
  const char* why = nullptr;
  parallel_for(split.streams, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const accel_codec_stream place = accel_codec_stream_at(&split, i);
      if (const char* wrong = decode_stream(packed.stream(i), out, model, place)) {
        std::lock_guard<std::mutex> lock(mutex);
        if (i < first_bad) {
          first_bad = i;
          why = wrong;
        }
      }
    }
  });
  if (why != nullptr) refuse_stream(first_bad, why);
}

}  // namespace accel_cpu::coding
