#include "reposition.hpp"

#include <algorithm>
#include <atomic>

#include "runtime/parallel.hpp"

namespace accel_cpu::rope {
namespace {

// Below this a second thread costs more than it brings.
constexpr std::int64_t kParallelBytes = 96 << 10;
// What one item of parallel work should at least be.
constexpr std::int64_t kItemBytes = 32 << 10;
// Tokens whose cosines and sines are kept while all layers use them: some tens of KiB.
constexpr std::size_t kBlock = 32;
// How many tokens ahead lines are asked for, unless a token is longer than this many bytes.
constexpr std::size_t kAhead = 2;
constexpr std::int64_t kMostTouched = 8 << 10;

std::atomic<std::int64_t> parallel_bytes{-1};

// Cosines and sines of some tokens, each turn computed once.
class Tables {
 public:
  Tables(const Turns& turns, std::size_t pairs, std::size_t most_tokens)
      : turns_(turns), pairs_(pairs), rows_(2 * pairs * most_tokens) {}

  void fill(const Token* tokens, std::size_t n) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == 0 || !turns_.alike(tokens[i].move, tokens[i - 1].move)) {
        // The turn that the last block ended with is often that of this one.
        const bool known = i == 0 && have_last_ && turns_.alike(tokens[0].move, last_);
        if (!known) {
          float* row = rows_.data() + used * 2 * pairs_;
          turns_.compute(tokens[i].move, pairs_, row, row + pairs_);
        } else if (last_row_ != 0) {
          std::copy_n(cosines_at(last_row_), 2 * pairs_, rows_.data());
        }
        ++used;
      }
      row_of_[i] = used - 1;
    }
    have_last_ = true;
    last_ = tokens[n - 1].move;
    last_row_ = row_of_[n - 1];
  }

  // `head` of the token of this number.
  Turned turned(std::size_t token, char* head) const {
    const float* row = cosines_at(row_of_[token]);
    return {head, row, row + pairs_};
  }

 private:
  const float* cosines_at(std::size_t row) const { return rows_.data() + row * 2 * pairs_; }

  const Turns& turns_;
  const std::size_t pairs_;
  std::vector<float> rows_;
  std::size_t row_of_[kBlock];
  bool have_last_ = false;
  Move last_;
  std::size_t last_row_ = 0;
};

// Asks for the lines of a token's heads: tokens of paged caches are scattered, and the processor
// foresees only what follows.
void touch(const char* token, std::int64_t span) {
  for (std::int64_t at = 0; at < span; at += 64) __builtin_prefetch(token + at, 1);
}

void turn_block(const Work& work, const HeadTurner& turner, const Tables& tables,
                const Token* tokens, std::size_t n, std::size_t first_layer,
                std::size_t last_layer) {
  const std::int64_t whole = work.heads * work.head_stride;
  const std::int64_t span = whole > 0 && whole <= kMostTouched ? whole : 0;
  for (std::size_t layer = first_layer; layer < last_layer; ++layer) {
    char* base = reinterpret_cast<char*>(work.bases[layer]);
    if (turner.by_token()) {
      for (std::size_t t = 0; t < n; ++t) {
        if (t + kAhead < n) touch(base + tokens[t + kAhead].offset, span);
        turner.turn_token(tables.turned(t, base + tokens[t].offset), work.heads, work.head_stride);
      }
      continue;
    }
    Turned heads[kBlock];
    for (std::int64_t h = 0; h < work.heads; ++h) {
      for (std::size_t t = 0; t < n; ++t) {
        heads[t] = tables.turned(t, base + tokens[t].offset + h * work.head_stride);
      }
      turner.turn_heads(heads, n);
    }
  }
}

}  // namespace

std::int64_t Work::bytes() const {
  const auto element = static_cast<std::int64_t>(numeric::size_of(channels.kind));
  return static_cast<std::int64_t>(tokens.size() * bases.size()) * heads * 2 * channels.pairs *
         element;
}

std::int64_t set_parallel_bytes(std::int64_t bytes) { return parallel_bytes.exchange(bytes); }

void reposition(const Work& work) {
  if (work.tokens.empty() || work.bases.empty() || work.heads == 0) return;
  const Turns turns = work.table.data != nullptr ? Turns(work.table) : Turns(*work.inv_freq);
  const HeadTurner turner(work.channels);
  const std::size_t layers = work.bases.size(), tokens = work.tokens.size();
  const auto pairs = static_cast<std::size_t>(work.channels.pairs);

  // Items are blocks of tokens with all layers, so that cosines are computed once; with few tokens,
  // layers are shared out as well.
  const std::size_t blocks = (tokens + kBlock - 1) / kBlock;
  const std::size_t wanted = 4 * static_cast<std::size_t>(thread_count());
  const std::int64_t bytes = work.bytes();
  const std::int64_t least = parallel_bytes.load(std::memory_order_relaxed);
  const bool parallel = bytes >= (least < 0 ? kParallelBytes : least);
  std::size_t groups = 1;
  if (parallel && blocks < wanted) groups = std::min(layers, (wanted + blocks - 1) / blocks);
  const std::size_t per_group = (layers + groups - 1) / groups;
  groups = (layers + per_group - 1) / per_group;

  const auto body = [&](std::size_t begin, std::size_t end) {
    Tables tables(turns, pairs, std::min(kBlock, tokens));
    std::size_t filled = blocks;
    for (std::size_t item = begin; item < end; ++item) {
      const std::size_t block = item / groups, group = item % groups;
      const std::size_t first = block * kBlock, n = std::min(kBlock, tokens - first);
      if (block != filled) tables.fill(&work.tokens[first], n);
      filled = block;
      turn_block(work, turner, tables, &work.tokens[first], n, group * per_group,
                 std::min(layers, (group + 1) * per_group));
    }
  };
  const std::size_t items = blocks * groups;
  if (!parallel) {
    body(0, items);
    return;
  }
  const auto each = std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(items));
  parallel_for(items, static_cast<std::size_t>(std::max<std::int64_t>(1, kItemBytes / each)), body);
}

}  // namespace accel_cpu::rope
