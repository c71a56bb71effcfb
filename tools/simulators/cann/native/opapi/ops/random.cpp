// Random values. torch_npu gives every call the seed and the offset of its generator, so equal
// seeds give equal values; the values are those of no other device.
#include <accel_sim/torch.hpp>

#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

at::Generator generator(U seed, U offset) { return accel_sim::host_generator(seed, offset); }

// While a graph is captured, seed and offset lie in device memory and the graph adds its own
// offset.
at::Generator generator(T seed, T offset, U inside) {
  return generator(static_cast<U>(seed.item<I>()), static_cast<U>(offset.item<I>()) + inside);
}

// Dropout masks hold one bit for each element, lowest bit first, 1 where the element stays.
void fill_mask(T mask, I count, D p, at::Generator random) {
  const auto bits = at::empty({count}, at::kFloat).bernoulli_(1 - p, random).contiguous();
  const auto packed = at::zeros_like(mask, at::MemoryFormat::Contiguous);
  auto* bytes = packed.data_ptr<std::uint8_t>();
  const auto* keep = bits.data_ptr<float>();
  for (I i = 0; i < count; ++i) {
    if (keep[i] != 0) bytes[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
  }
  mask.copy_(packed);
}

at::Tensor masked(T self, T mask, D p) {
  if (p >= 1) return at::zeros_like(self);
  const auto packed = mask.contiguous();
  const auto* bytes = static_cast<const std::uint8_t*>(packed.data_ptr());
  const auto keep = at::empty({self.numel()}, at::kBool);
  auto* flags = keep.data_ptr<bool>();
  for (I i = 0; i < self.numel(); ++i) flags[i] = (bytes[i / 8] >> (i % 8)) & 1;
  return at::where(keep.reshape(self.sizes()), self / (1 - p), at::zeros({}, self.options()));
}

I count_of(const Ints& shape) { return c10::multiply_integers(shape.values); }

}  // namespace

ACLNN(aclnnInplaceUniform, (T self, D from, D to, U seed, U offset),
      self.uniform_(from, to, generator(seed, offset)))
ACLNN(aclnnInplaceUniformTensor, (T self, D from, D to, T seed, T offset, U inside),
      self.uniform_(from, to, generator(seed, offset, inside)))
ACLNN(aclnnInplaceNormal, (T self, float mean, float deviation, I seed, I offset),
      self.normal_(mean, deviation, generator(seed, offset)))
ACLNN(aclnnInplaceNormalTensor, (T self, float mean, float deviation, T seed, T offset, U inside),
      self.normal_(mean, deviation, generator(seed, offset, inside)))
ACLNN(aclnnNormalFloatFloat, (float mean, float deviation, I seed, I offset, Out out),
      out = at::normal(mean, deviation, out->sizes(), generator(seed, offset)))
ACLNN(aclnnNormalFloatTensor, (float mean, T deviation, I seed, I offset, Out out),
      out = at::normal(mean, deviation, generator(seed, offset)))
ACLNN(aclnnNormalTensorFloat, (T mean, float deviation, I seed, I offset, Out out),
      out = at::normal(mean, deviation, generator(seed, offset)))
ACLNN(aclnnNormalTensorTensor, (T mean, T deviation, I seed, I offset, Out out),
      out = at::normal(mean, deviation, generator(seed, offset)))
ACLNN(aclnnInplaceRandom, (T self, I from, I to, I seed, I offset),
      self.random_(from, std::optional<I>(to), generator(seed, offset)))
ACLNN(aclnnInplaceRandomTensor, (T self, I from, I to, T seed, T offset, U inside),
      self.random_(from, std::optional<I>(to), generator(seed, offset, inside)))
ACLNN(aclnnInplaceRandomWithoutFromTo, (T self, I seed, I offset),
      self.random_(generator(seed, offset)))
ACLNN(aclnnInplaceBernoulli, (T self, S p, I seed, I offset),
      self.bernoulli_(p.toDouble(), generator(seed, offset)))
ACLNN(aclnnInplaceBernoulliTensor, (T self, T p, I seed, I offset),
      self.bernoulli_(p, generator(seed, offset)))
ACLNN(aclnnRandperm, (I n, I seed, I offset, Out out),
      out = at::randperm(n, generator(seed, offset), at::TensorOptions(at::kLong)))
ACLNN(aclnnMultinomial, (T self, I samples, bool replacement, I seed, I offset, Out out),
      out = at::multinomial(self, samples, replacement, generator(seed, offset)))
ACLNN(aclnnMultinomialTensor,
      (T self, I samples, bool replacement, T seed, T offset, I inside, Out out),
      out = at::multinomial(self, samples, replacement, generator(seed, offset, inside)))
ACLNN(aclnnSimThreadExponential, (T self, I, D lambda, I seed, I offset),
      self.exponential_(lambda, generator(seed, offset)))
ACLNN(aclnnDropoutGenMask, (const Ints& shape, D p, I seed, I offset, T mask),
      fill_mask(mask, count_of(shape), p, generator(seed, offset)))
ACLNN(aclnnDropoutGenMaskV2, (const Ints& shape, D p, I seed, I offset, Type, T mask),
      fill_mask(mask, count_of(shape), p, generator(seed, offset)))
ACLNN(aclnnDropoutGenMaskV2Tensor,
      (const Ints& shape, D p, T seed, T offset, I inside, Type, T mask),
      fill_mask(mask, count_of(shape), p, generator(seed, offset, inside)))
ACLNN(aclnnDropoutDoMask, (T self, T mask, D p, Out out), out = masked(self, mask, p))
ACLNN(aclnnDropoutV3, (T self, T, D p, I seed, I offset, Out out, T mask), {
  fill_mask(mask, self.numel(), p, generator(seed, offset));
  out = masked(self, mask, p);
})
