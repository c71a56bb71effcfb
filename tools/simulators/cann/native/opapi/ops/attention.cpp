// Scaled dot-product attention in one operator, and its gradient.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

// The layouts name the axes: batch, heads (N), sequence, and the head's size (D), or both in one
// (H).
at::Tensor to_bnsd(T tensor, Text layout, I heads) {
  if (layout == "BNSD") return tensor;
  if (layout == "BSND") return tensor.transpose(1, 2);
  if (layout == "BSH") return tensor.unflatten(2, {heads, -1}).transpose(1, 2);
  if (layout == "SBH") return tensor.unflatten(2, {heads, -1}).permute({1, 2, 0, 3});
  TORCH_CHECK(false, "attention in layout ", layout, " is not simulated");
}

at::Tensor from_bnsd(T tensor, Text layout) {
  if (layout == "BNSD") return tensor;
  if (layout == "BSND") return tensor.transpose(1, 2);
  if (layout == "BSH") return tensor.transpose(1, 2).flatten(2);
  return tensor.permute({2, 0, 1, 3}).flatten(2);
}

struct Attention {
  T query, key, value, shift, mask;
  D scale;
  I heads;
  Text layout;
  I sparse_mode;

  at::Tensor q() const { return to_bnsd(query, layout, heads).to(at::kFloat); }
  // Fewer heads of keys than of queries serve several each.
  at::Tensor shared(T tensor) const {
    const auto wide = to_bnsd(tensor, layout, kv_heads()).to(at::kFloat);
    return wide.repeat_interleave(heads / wide.size(1), 1);
  }
  I kv_heads() const {
    if (layout == "BNSD" || layout == "BSND") return heads;  // not needed: the axis is there
    return key.size(2) * heads / query.size(2);
  }
  at::Tensor hidden(I rows, I columns) const {
    if (sparse_mode == 2 || sparse_mode == 3) {  // causal, aligned to the first or the last row
      const I shift_by = sparse_mode == 2 ? 0 : columns - rows;
      return at::ones({rows, columns}, at::kBool).triu(1 + shift_by);
    }
    TORCH_CHECK(sparse_mode == 0 || sparse_mode == 1, "attention with sparse mode ", sparse_mode,
                " is not simulated");
    return mask.defined() && mask.numel() != 0 ? mask.to(at::kBool) : at::Tensor();
  }
  at::Tensor scores() const {
    auto result = at::matmul(q(), shared(key).transpose(-2, -1)) * scale;
    if (shift.defined() && shift.numel() != 0) result = result + shift.to(at::kFloat);
    const auto out = hidden(result.size(-2), result.size(-1));
    return out.defined() ? result.masked_fill(out, -std::numeric_limits<float>::infinity())
                         : result;
  }
};

void refuse_dropout(D keep) { TORCH_CHECK(keep >= 1, "attention with dropout is not simulated"); }

// A rows' sums are kept eight times over.
at::Tensor eightfold(T rows) { return rows.expand({-1, -1, -1, 8}); }

// Sums the gradient of shared heads into the heads that were there.
at::Tensor gathered(T grad, I kept) {
  return grad.unflatten(1, {kept, grad.size(1) / kept}).sum(2);
}

}  // namespace

ACLNN(aclnnFlashAttentionScore,
      (T query, T key, T value, T shift, T, T, T mask, const Ints&, D scale, D keep, I, I, I heads,
       Text layout, I, I sparse_mode, Out largest, Out sums, Out, Out out),
      {
        refuse_dropout(keep);
        const Attention attention{query, key,   value,  shift,      mask,
                                  scale, heads, layout, sparse_mode};
        const auto scores = attention.scores();
        const auto top = at::amax(scores, -1, true);
        const auto weights = at::exp(scores - top);
        const auto total = weights.sum(-1, true);
        out = from_bnsd(at::matmul(weights / total, attention.shared(value)), layout);
        largest = eightfold(top);
        sums = eightfold(total);
      })
ACLNN(aclnnFlashAttentionScoreGrad,
      (T query, T key, T value, T grad, T shift, T, T, T mask, T, T, T, T, const Ints&, D scale,
       D keep, I, I, I heads, Text layout, I, I sparse_mode, Out grad_query, Out grad_key,
       Out grad_value, Out grad_shift),
      {
        refuse_dropout(keep);
        const Attention attention{query, key,   value,  shift,      mask,
                                  scale, heads, layout, sparse_mode};
        const auto chance = at::softmax(attention.scores(), -1);
        const auto up = to_bnsd(grad, layout, heads).to(at::kFloat);
        const auto slope = at::matmul(up, attention.shared(value).transpose(-2, -1));
        const auto score = chance * (slope - (slope * chance).sum(-1, true));
        const auto kept = to_bnsd(key, layout, attention.kv_heads()).size(1);
        grad_query = from_bnsd(at::matmul(score, attention.shared(key)) * scale, layout);
        grad_key = from_bnsd(
            gathered(at::matmul(score.transpose(-2, -1), attention.q()) * scale, kept), layout);
        grad_value = from_bnsd(gathered(at::matmul(chance.transpose(-2, -1), up), kept), layout);
        if (grad_shift.wanted() && grad_shift->numel() != 0) {
          grad_shift = score.sum_to_size(grad_shift->sizes());
        }
      })
