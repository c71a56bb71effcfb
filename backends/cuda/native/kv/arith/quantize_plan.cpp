#include "quantize_plan.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/number_kinds.h"

namespace accel_cuda::arith {
namespace {

using accel::NumberKind;
using accel::quantize::Axis;
using accel::quantize::Code;
using accel::quantize::Dim;
using accel::quantize::kCodes;
using accel::quantize::kOffsets;
using accel::quantize::kScales;
using accel::quantize::kValues;
using accel::quantize::merged;
using accel::quantize::Problem;
using accel::quantize::Spec;

constexpr int kThreads = 256;
constexpr int kTaken = 2;  // chunks that a thread of dequantize_rows takes
// Chunks of the segments that are short, and how many of those a lane takes a chunk of.
constexpr std::int64_t kShortFrom = 4, kShortTo = 15;
constexpr int kShortEach = 4;
// Rows that a thread of a column kernel takes in turn.
constexpr int kPasses = 16;
// Blocks of a multiprocessor at once, which the ranges run ahead of the codes.
constexpr int kResident = 4;
constexpr unsigned kColumnsLog = 4;
constexpr std::int64_t kReserved = 1024;  // bytes of shared memory that a block takes beside its own
// Of rows and of chunks in one launch: kernels divide numbers below 2^31.
constexpr std::int64_t kMost = std::int64_t{1} << 30;

int code_kind(Code code) {
  switch (code) {
    case Code::I8: return ACCEL_I8;
    case Code::I4: return ACCEL_I4;
    case Code::U8: return ACCEL_U8;
    case Code::E4M3: return ACCEL_E4M3;
    default: return ACCEL_E5M2;
  }
}

accel_quotient quotient(std::int64_t by) {
  return accel_quotient_by(static_cast<unsigned>(std::max<std::int64_t>(1, by)));
}

unsigned log2_of(std::int64_t least) {  // the least power of two
  unsigned log = 0;
  while ((std::int64_t{1} << log) < least) ++log;
  return log;
}

std::int64_t size_of(const Problem& p) {
  return static_cast<std::int64_t>(accel::size_of(p.values));
}

// Bytes of values that a load takes: all that values and codes are multiples of, in rows of
// `length` channels.
int vector_of(const Problem& p, const std::vector<Dim>& rows, std::int64_t length) {
  const std::int64_t size = size_of(p);
  if (p.channels.step[kValues] != size) return 0;
  if (!p.spec.is_packed() && p.channels.step[kCodes] != 1) return 0;
  auto values = reinterpret_cast<std::uintptr_t>(p.base[kValues]);
  auto codes = reinterpret_cast<std::uintptr_t>(p.base[kCodes]);
  for (const Dim& dim : rows) {
    values |= static_cast<std::uintptr_t>(dim.step[kValues]);
    codes |= static_cast<std::uintptr_t>(dim.step[kCodes]);
  }
  for (const int vector : {16, 8, 4}) {
    const std::int64_t channels = vector / size;
    const std::int64_t bytes = p.spec.is_packed() ? channels / 2 : channels;
    if (bytes == 0 || length % channels != 0) continue;
    if (values % static_cast<unsigned>(vector) == 0 && codes % static_cast<unsigned>(bytes) == 0) {
      return vector;
    }
  }
  return 0;
}

std::int64_t chunk_of(const Problem& p, int vector) {
  if (vector == 0) return p.spec.is_packed() ? 2 : 1;
  return vector / size_of(p);
}

Variant variant_of(const Problem& p, KernelId id, int vector) {
  return {id, {static_cast<int>(p.values), code_kind(p.spec.code), p.spec.symmetric ? 0 : 1,
               vector}};
}

accel_quantize_spec spec_of(const Spec& spec) {
  return {spec.steps, spec.zero, spec.lowest, spec.highest};
}

void fill_dims(const std::vector<Dim>& dims, accel_quantize_dim* out) {
  for (std::size_t d = 0; d < dims.size(); ++d) {
    out[d].extent = quotient(dims[d].extent);
    std::copy_n(dims[d].step, ACCEL_OPERANDS, out[d].step);
  }
}

std::int64_t count_of(const std::vector<Dim>& dims) {
  std::int64_t count = 1;
  for (const Dim& dim : dims) count *= dim.extent;
  return count;
}

using Offsets = std::int64_t[ACCEL_OPERANDS];

// Calls body(dims, offsets) with what a launch can take of `dims`: ACCEL_QUANTIZE_DIMS axes, and
// `most` indices of them.
template <class Body>
void in_pieces(const std::vector<Dim>& dims, std::int64_t most, const Offsets& at, Body& body) {
  const std::int64_t count = count_of(dims);
  if (count == 0) return;
  if (dims.size() <= ACCEL_QUANTIZE_DIMS && count <= most) {
    body(dims, at);
    return;
  }
  const bool few = dims.size() <= ACCEL_QUANTIZE_DIMS;
  const std::int64_t of_one = count / dims[0].extent;
  const std::int64_t step = few ? std::max<std::int64_t>(1, most / of_one) : 1;
  for (std::int64_t i = 0; i < dims[0].extent; i += step) {
    std::vector<Dim> part = dims;
    part[0].extent = std::min(step, dims[0].extent - i);
    Offsets offsets;
    for (int w = 0; w < ACCEL_OPERANDS; ++w) offsets[w] = at[w] + i * dims[0].step[w];
    if (part[0].extent == 1) part.erase(part.begin());
    in_pieces(part, most, offsets, body);
  }
}

std::vector<QuantizeLaunch> plan_rows(const Problem& p, bool back) {
  const std::int64_t group = p.group();
  const std::int64_t groups = p.spec.axis == Axis::Group ? p.channels.extent / group : 1;
  const bool odd = p.spec.is_packed() && group % 2 != 0;
  std::vector<Dim> rows = p.outer;
  rows.push_back(p.tokens);
  if (p.spec.axis == Axis::Group && !(odd && back)) {
    // Two groups of an odd number of packed codes share a byte, so they are one segment.
    const std::int64_t each = odd ? 2 : 1;
    Dim dim{groups / each, {}};
    for (int w = 0; w < ACCEL_OPERANDS; ++w) {
      const std::int64_t channels = w == kValues ? group * each : group * each / 2;
      dim.step[w] = p.channels.step[w] * (w < kScales ? channels : each);
    }
    if (!p.spec.is_packed()) dim.step[kCodes] = p.channels.step[kCodes] * group;
    rows.push_back(dim);
  }
  rows = merged(rows);

  accel_segment_args args = {};
  const std::int64_t length = odd && back ? p.channels.extent : group;
  const int vector = odd ? 0 : vector_of(p, rows, length);
  args.value_step = p.channels.step[kValues];
  args.code_step = p.channels.step[kCodes];
  args.scale_step = p.channels.step[kScales];
  args.offset_step = p.channels.step[kOffsets];
  args.length = static_cast<unsigned>(group);
  const std::int64_t chunks = odd && back ? length / 2 : length / chunk_of(p, vector);
  args.chunks = static_cast<unsigned>(chunks);
  args.chunks_by = quotient(chunks);
  args.spec = spec_of(p.spec);

  std::vector<QuantizeLaunch> launches;
  const Offsets none = {};
  auto body = [&](const std::vector<Dim>& dims, const Offsets& at) {
    QuantizeLaunch launch;
    launch.segments = args;
    accel_segment_args& made = launch.segments;
    for (int w = 0; w < ACCEL_OPERANDS; ++w) {
      made.base[w] = reinterpret_cast<std::uintptr_t>(p.base[w]) + static_cast<std::uint64_t>(at[w]);
    }
    fill_dims(dims, made.dim);
    made.dims = static_cast<unsigned>(dims.size());
    const std::int64_t segments = count_of(dims);
    made.segments = static_cast<unsigned>(segments);
    KernelId id;
    if (back) {
      if (chunks == 0) return;
      id = odd ? kDequantizeRowsOdd : kDequantizeRows;
      const std::int64_t each = kThreads * kTaken;
      launch.grid = static_cast<unsigned>((segments * chunks + each - 1) / each);
    } else if (odd) {
      id = kQuantizeRowsOdd;
      launch.grid = static_cast<unsigned>((segments + kThreads - 1) / kThreads);
    } else if (chunks > 128) {
      id = kQuantizeRowsBlock;
      launch.block = std::clamp(1u << log2_of((chunks + 3) / 4), 128u, 1024u);
      launch.grid = static_cast<unsigned>(segments);
    } else if (chunks >= kShortFrom && chunks <= kShortTo) {
      id = kQuantizeRowsShort;
      made.lanes_log = log2_of(chunks);
      const std::int64_t each = kShortEach * (kThreads >> made.lanes_log);
      launch.grid = static_cast<unsigned>((segments + each - 1) / each);
    } else {
      // The fewer lanes share a segment the fewer of them compute its scale, and the shorter are the
      // lines that they load: four chunks a lane pay from 256 bytes on.
      const int held = chunks > kShortTo ? 4 : chunks > 1 ? 2 : 1;
      id = held == 4 ? kQuantizeRows4 : held == 2 ? kQuantizeRows2 : kQuantizeRows1;
      made.lanes_log = log2_of(std::max<std::int64_t>(1, (chunks + held - 1) / held));
      const std::int64_t each = kThreads >> made.lanes_log;
      launch.grid = static_cast<unsigned>((segments + each - 1) / each);
    }
    launch.variant = variant_of(p, id, vector);
    launches.push_back(launch);
  };
  in_pieces(rows, back ? std::max<std::int64_t>(1, kMost / std::max<std::int64_t>(1, chunks)) : kMost,
            none, body);
  return launches;
}

// How strips are cut: quantize_strips.cu.
struct StripShape {
  unsigned width_log = 0;
  int cluster = 0;  // 0: the tokens do not fit
  std::int64_t bytes = 0;
};

// Shared memory of a block that keeps `rows` rows of 2^width_log chunks.
std::int64_t strip_bytes(const Problem& p, const ChipLimits& chip, std::int64_t rows,
                         unsigned width_log) {
  constexpr std::int64_t kVector = 16, kScale = 16, kWarps = kThreads / 32;
  const std::int64_t size = size_of(p), width = std::int64_t{1} << width_log;
  // Words of the ranges of a word: chips with clusters have pairs of halves.
  const bool halves = chip.cluster > 1 && size == 2;
  const std::int64_t each = (p.spec.symmetric ? 1 : halves ? 2 : 3) * (halves ? 1 : 4 / size);
  const std::int64_t rows_step = kThreads >> width_log;
  const std::int64_t tile = (rows + rows_step - 1) / rows_step * kThreads * kVector;
  return tile + kVector / size * width * kScale + (kWarps + 2) * each * kVector * width + 4;
}

// Wide strips in tiles of which a multiprocessor holds several; of small problems narrower strips
// and smaller tiles, for all multiprocessors to have some.
StripShape strip_shape(const Problem& p, std::int64_t of_chunk, int vector, const ChipLimits& chip) {
  StripShape best;
  if (vector != 16) return best;
  const std::int64_t chunks = p.channels.extent / of_chunk, outer = count_of(p.outer);
  const unsigned most = std::min(kColumnsLog, log2_of(chunks)), least = std::min(3u, most);
  std::int64_t best_blocks = 0;
  // Whether the shape will do as it is.
  const auto consider = [&](unsigned log, int cluster, std::int64_t share) {
    const std::int64_t rows = (p.tokens.extent + cluster - 1) / cluster;
    if (cluster > 1 && rows < 4 * (kThreads >> log)) return false;  // a thread has some rows
    const std::int64_t bytes = strip_bytes(p, chip, rows, log);
    if ((bytes + kReserved) * share > chip.shared_bytes + kReserved) return false;
    const std::int64_t strips = outer * ((chunks + (std::int64_t{1} << log) - 1) >> log);
    if (strips * cluster <= best_blocks) return false;
    best = {log, cluster, bytes};
    best_blocks = strips * cluster;
    return best_blocks >= chip.multiprocessors;
  };
  // Larger clusters than any device is sure to take wait longer for each other.
  const int usual = std::min<int>(chip.cluster, kPortableCluster);
  const std::pair<int, int> sizes[] = {{1, usual}, {2 * usual, chip.cluster}};
  for (const std::int64_t share : {3, 2, 1}) {  // blocks that fit a multiprocessor
    for (const auto& [from, to] : sizes) {
      for (unsigned log = most + 1; log-- > least;) {
        for (int cluster = from; cluster <= to && cluster > 0; cluster *= 2) {
          if (consider(log, cluster, share)) return best;
        }
      }
      if (best.cluster != 0) return best;
    }
  }
  return best;
}

std::vector<QuantizeLaunch> plan_columns(const Problem& p, bool back, const ChipLimits& chip) {
  if (p.channels.extent == 0) return {};
  const int multiprocessors = chip.multiprocessors;
  std::vector<Dim> rows = p.outer;
  rows.push_back(p.tokens);
  const int vector = vector_of(p, rows, p.channels.extent);
  const std::int64_t of_chunk = chunk_of(p, vector);

  accel_column_args args = {};
  for (int w = 0; w < ACCEL_OPERANDS; ++w) args.channel_step[w] = p.channels.step[w];
  args.token_step[0] = p.tokens.step[kValues];
  args.token_step[1] = p.tokens.step[kCodes];
  args.tokens = static_cast<unsigned>(p.tokens.extent);
  args.channels = static_cast<unsigned>(p.channels.extent);
  args.chunks = static_cast<unsigned>(p.channels.extent / of_chunk);
  args.width_log = std::min(kColumnsLog, log2_of(args.chunks));
  const StripShape shape = back ? StripShape{} : strip_shape(p, of_chunk, vector, chip);
  const bool strips = shape.cluster != 0;
  if (strips) args.width_log = shape.width_log;
  const std::int64_t width = std::int64_t{1} << args.width_log;
  const std::int64_t slabs_each = (args.chunks + width - 1) / width;
  // Long parts cost less, but all multiprocessors should have some.
  std::int64_t passes = kPasses;
  const auto parts_of = [&](std::int64_t rows_each) {
    return std::max<std::int64_t>(1, (p.tokens.extent + rows_each - 1) / rows_each);
  };
  const std::int64_t rows_of_pass = kThreads >> args.width_log;
  while (passes > 4 && count_of(p.outer) * slabs_each * parts_of(passes * rows_of_pass) <
                           2 * multiprocessors) {
    passes /= 2;
  }
  args.part = static_cast<unsigned>(passes * rows_of_pass);
  if (strips) {
    args.part = static_cast<unsigned>((p.tokens.extent + shape.cluster - 1) / shape.cluster);
  }
  const std::int64_t parts = strips ? shape.cluster : parts_of(args.part);
  args.parts = quotient(parts);
  args.slabs_by = quotient(slabs_each);
  args.ahead = static_cast<unsigned>((multiprocessors * kResident + parts - 1) / parts);
  args.spec = spec_of(p.spec);

  std::vector<QuantizeLaunch> launches;
  const Offsets none = {};
  auto body = [&](const std::vector<Dim>& dims, const Offsets& at) {
    QuantizeLaunch launch;
    launch.by_columns = true;
    launch.columns = args;
    accel_column_args& made = launch.columns;
    for (int w = 0; w < ACCEL_OPERANDS; ++w) {
      made.base[w] = reinterpret_cast<std::uintptr_t>(p.base[w]) + static_cast<std::uint64_t>(at[w]);
    }
    fill_dims(dims, made.dim);
    made.dims = static_cast<unsigned>(dims.size());
    const std::int64_t outer = count_of(dims), slabs = outer * slabs_each;
    made.outer = static_cast<unsigned>(outer);
    made.slabs = static_cast<unsigned>(slabs);
    launch.grid = static_cast<unsigned>(slabs * parts * (back || strips ? 1 : 2));
    const KernelId id = back ? kDequantizeColumns : strips ? kQuantizeStrips : kQuantizeColumns;
    launch.variant = variant_of(p, id, vector);
    if (strips) {
      launch.cluster = static_cast<unsigned>(shape.cluster);
      launch.takes_turns = true;
      launch.shared_bytes = static_cast<unsigned>(shape.bytes);
    } else if (!back) {
      const std::int64_t keys = (p.spec.symmetric ? 1 : 2) * of_chunk * width;
      const std::int64_t words = ACCEL_COLUMN_WORDS + slabs * (ACCEL_SLAB_WORDS + keys);
      launch.workspace = static_cast<std::size_t>(words) * sizeof(unsigned);
    }
    launches.push_back(launch);
  };
  const std::int64_t of_outer = 2 * slabs_each * parts;
  in_pieces(p.outer, std::max<std::int64_t>(1, kMost / of_outer), none, body);
  return launches;
}

}  // namespace

ChipLimits ChipLimits::of(const Device& device) {
  const Device::Properties& known = device.properties();
  ChipLimits chip;
  chip.multiprocessors = std::max(1, known.multiprocessors);
  // Clusters of 16 are for chips whose parts are large enough to have several.
  chip.cluster = driver().launch_kernel_ex == nullptr || known.major < 9 ? 1
                 : chip.multiprocessors < 64                              ? 8
                                                                          : 16;
  chip.shared_bytes = known.shared_per_block_opt_in;
  return chip;
}

std::vector<QuantizeLaunch> plan_quantize(const Problem& problem, bool back,
                                          const ChipLimits& chip) {
  if (problem.spec.axis == Axis::Channel) {
    if (back && problem.tokens.extent == 0) return {};
    return plan_columns(problem, back, chip);
  }
  if (problem.spec.axis == Axis::Group && problem.channels.extent == 0) return {};
  return plan_rows(problem, back);
}

}  // namespace accel_cuda::arith
