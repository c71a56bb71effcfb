#include "findings.hpp"

#include <accel/errors.hpp>
#include <accel/kv_codec.h>

#include <string>

#include "kernels/coding_findings.h"

namespace accel_cuda::coding {
namespace {

constexpr char kDamaged[] = "fetch or encode it again: it was changed after it was encoded";

[[noreturn]] void refuse(const std::string& expected, const std::string& given,
                         const std::string& cure = kDamaged, const char* argument = "data") {
  accel::fail("CodecError", argument, expected, given, cure);
}

[[noreturn]] void refuse_stream(const char* why, std::uint64_t index) {
  refuse("sound streams", std::string(why) + " in stream " + std::to_string(index));
}

std::string bracket(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return "[" + std::to_string(a) + ", " + std::to_string(b) + ", " + std::to_string(c) + "]";
}

[[noreturn]] void refuse_symbol(const std::string& expected, const Finding& f,
                                const std::string& cure) {
  const std::uint64_t tokens = f.facts[1], channels = f.facts[2], row = f.where / channels;
  accel::fail("ArgumentError", "symbols", expected,
              std::to_string(f.facts[0]) + " at " +
                  bracket(row / tokens, row % tokens, f.where % channels),
              cure);
}

}  // namespace

Finding finding_of(const AccelFaultRecord& record) {
  Finding f;
  f.kind = static_cast<unsigned>(record.index);
  f.where = static_cast<std::uint64_t>(record.position);
  f.bins = static_cast<std::uint64_t>(record.limit);
  for (int i = 0; i < 3; ++i) f.facts[i] = static_cast<std::uint64_t>(record.unused[i]);
  return f;
}

void raise_finding(const Finding& f) {
  const std::string where = std::to_string(f.where);
  switch (f.kind) {
    case CODING_FOUND_SIZE:
      refuse("encoded KV of at least " + std::to_string(ACCEL_CODEC_HEADER_BYTES) + " bytes",
             where + " bytes", "");
    case CODING_FOUND_MAGIC:
      refuse("encoded KV, which begins with 'AKVC'", "other data", "pass what encode returned");
    case CODING_FOUND_VERSION:
      refuse("format version " + std::to_string(ACCEL_CODEC_VERSION), "version " + where,
             "decode with the release that encoded it");
    case CODING_FOUND_HEADER: refuse("a sound header", "a damaged one");
    case CODING_FOUND_LIMITS:
      refuse("a header within the limits of version 1", "a foreign one", "");
    case CODING_FOUND_TOTAL:
      refuse(where + " bytes as its header says", std::to_string(f.facts[0]) + " bytes",
             f.where > f.facts[0] ? "it was truncated: pass all of it"
                                  : "pass no more than its bytes");
    case CODING_FOUND_SPLIT:
      refuse("chunks of tokens and groups of channels", "more than there are, or none", "");
    case CODING_FOUND_ROOM: refuse("a directory of all streams", "too few bytes for one");
    case CODING_FOUND_DIRECTORY: refuse("a sound directory", "a damaged one");
    case CODING_FOUND_UNITS:
      refuse("streams in units of 4 bytes", where + " bytes of them", "");
    case CODING_FOUND_RANGE:
      refuse("streams within the data", "stream " + where + " elsewhere", "");
    case CODING_FOUND_SHAPE:
      accel::fail("ShapeError", "out",
                  bracket(f.facts[0], f.facts[1], f.facts[2]) + " as data holds", "another shape");
    case CODING_FOUND_MODEL:
      refuse("cumulative frequencies that rise from 0 to " + std::to_string(ACCEL_CODEC_SCALE),
             "others in layer " + std::to_string(f.where / f.facts[2]) + ", channel " +
                 std::to_string(f.where % f.facts[2]),
             "make it with entropy_model", "model");
    case CODING_FOUND_OTHER_MODEL:
      refuse("the model that data was encoded with", "another",
             "keep a model with what was encoded with it", "model");
    case CODING_FOUND_CHECK: refuse_stream("a wrong check", f.where);
    case CODING_FOUND_OUTSIDE:
      refuse_symbol("symbols below " + std::to_string(f.bins), f, "");
    case CODING_FOUND_NO_FREQUENCY:
      refuse_symbol("symbols with a frequency in their channel's model", f,
                    "make the model without exact=True, or from these symbols too");
    case CODING_FOUND_LOW_STATE: refuse_stream("a state below its range", f.where);
    case CODING_FOUND_FEW_WORDS: refuse_stream("too few words", f.where);
    case CODING_FOUND_END_STATE: refuse_stream("a lane that does not end where it began", f.where);
    case CODING_FOUND_MANY_WORDS: refuse_stream("words that no lane takes", f.where);
    default:
      accel::fail_message("AccelError", "the entropy coder reported a finding of kind " +
                                            std::to_string(f.kind) + " at " + where);
  }
}

}  // namespace accel_cuda::coding
