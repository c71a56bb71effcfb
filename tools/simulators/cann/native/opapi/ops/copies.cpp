// Copies, casts and rearrangements that move elements and change none.
#include "core/operator.hpp"

using namespace accel_opapi;

namespace {

at::Tensor transposed_then_shaped(T self, const Ints& permutation, const Ints& shape, bool first) {
  return first ? self.permute(permutation).reshape(shape)
               : self.reshape(shape).permute(permutation);
}

}  // namespace

ACLNN(aclnnInplaceCopy, (T self, T source), self.copy_(source))
ACLNN(aclnnCast, (T self, Type, Out out), out = self)
ACLNN(aclnnRepeat, (T self, const Ints& repeats, Out out), out = self.repeat(repeats))
ACLNN(aclnnFlip, (T self, const Ints& dims, Out out), out = at::flip(self, dims))
ACLNN(aclnnRoll, (T self, const Ints& shifts, const Ints& dims, Out out),
      out = at::roll(self, shifts, dims))
ACLNN(aclnnCat, (const Tensors& tensors, I dim, Out out), out = at::cat(tensors, dim))
ACLNN(aclnnStack, (const Tensors& tensors, I dim, Out out), out = at::stack(tensors, dim))
ACLNN(aclnnSplitWithSize, (T self, const Ints& sizes, I dim, const Tensors& out),
      write_each(out, at::split_with_sizes(self, sizes, dim)))
ACLNN(aclnnChunkCat, (const Tensors& tensors, I dim, I chunks, Out out),
      out = at::_chunk_cat(tensors, dim, chunks))
ACLNN(aclnnConfusionTranspose,
      (T self, const Ints& permutation, const Ints& shape, bool first, Out out),
      out = transposed_then_shaped(self, permutation, shape, first))
ACLNN(aclnnConstantPadNd, (T self, const Ints& pad, S value, Out out),
      out = at::constant_pad_nd(self, pad, value))
ACLNN(aclnnReflectionPad1d, (T self, const Ints& pad, Out out),
      out = at::reflection_pad1d(self, pad))
ACLNN(aclnnReflectionPad2d, (T self, const Ints& pad, Out out),
      out = at::reflection_pad2d(self, pad))
ACLNN(aclnnReflectionPad1dBackward, (T grad, T self, const Ints& pad, Out out),
      out = at::reflection_pad1d_backward(grad, self, pad))
ACLNN(aclnnReflectionPad2dBackward, (T grad, T self, const Ints& pad, Out out),
      out = at::reflection_pad2d_backward(grad, self, pad))
ACLNN(aclnnReplicationPad1d, (T self, const Ints& pad, Out out),
      out = at::replication_pad1d(self, pad))
ACLNN(aclnnReplicationPad2d, (T self, const Ints& pad, Out out),
      out = at::replication_pad2d(self, pad))
ACLNN(aclnnReplicationPad1dBackward, (T grad, T self, const Ints& pad, Out out),
      out = at::replication_pad1d_backward(grad, self, pad))
ACLNN(aclnnReplicationPad2dBackward, (T grad, T self, const Ints& pad, Out out),
      out = at::replication_pad2d_backward(grad, self, pad))
ACLNN(aclnnReflectionPad3d, (T self, const Ints& pad, Out out),
      out = at::reflection_pad3d(self, pad))
ACLNN(aclnnReplicationPad3d, (T self, const Ints& pad, Out out),
      out = at::replication_pad3d(self, pad))
ACLNN(aclnnChannelShuffle, (T self, I groups, Out out), out = at::channel_shuffle(self, groups))
ACLNN(aclnnIm2col,
      (T self, const Ints& kernel, const Ints& dilation, const Ints& padding, const Ints& stride,
       Out out),
      out = at::im2col(self, kernel, dilation, padding, stride))
ACLNN(aclnnIm2colBackward,
      (T self, const Ints& size, const Ints& kernel, const Ints& dilation, const Ints& padding,
       const Ints& stride, Out out),
      out = at::col2im(self, size, kernel, dilation, padding, stride))
ACLNN(aclnnUnfoldGrad, (T grad, const Ints& sizes, I dim, I size, I step, Out out),
      out = at::unfold_backward(grad, sizes, dim, size, step))
