// The operators that streams run. Each name means all overloads, in place and into outputs too, whose
// results are tensors of a shape that does not depend on values. What is not here, and no composition
// of what is here, runs on the host between two waits.
#include "operators.hpp"

namespace torch_mlu {

const std::vector<const char*>& operator_names() {
  static const std::vector<const char*> names{
      // creation and copies
      "fill", "zero", "arange", "linspace", "eye", "tril", "triu", "clone_bits", "complex", "polar",
      // arithmetic
      "add", "sub", "rsub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "atan2",
      "maximum", "minimum", "fmax", "fmin", "addcmul", "addcdiv", "lerp", "hypot", "copysign",
      "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift",
      "bitwise_right_shift", "__lshift__", "__rshift__", "__ilshift__", "__irshift__",
      "logical_and", "logical_or", "logical_xor", "logical_not", "gcd", "nextafter", "ldexp",
      // one tensor
      "abs", "neg", "sign", "sgn", "ceil", "floor", "round", "trunc", "frac", "exp", "exp2",
      "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos",
      "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erfinv",
      "reciprocal", "sigmoid", "isnan", "isinf", "signbit", "clamp", "clamp_min", "clamp_max",
      "nan_to_num", "conj_physical", "lgamma", "digamma", "frexp",
      // comparison and choice
      "eq", "ne", "lt", "le", "gt", "ge", "where", "masked_fill", "isin", "equal_each",
      // reductions
      "sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all", "norm",
      "linalg_vector_norm", "std", "var", "var_mean", "std_mean", "logsumexp", "cumsum", "cumprod",
      "cummax_helper", "aminmax", "nansum", "median",
      // order
      "sort", "topk", "argsort", "kthvalue", "searchsorted", "bucketize",
      // indexing and shapes
      "cat", "stack", "index", "index_put", "_index_put_impl", "index_select", "index_add",
      "index_copy", "index_fill", "gather", "scatter", "scatter_add", "scatter_reduce", "flip",
      "roll", "repeat_interleave_ints", "masked_scatter_backward", "take", "put", "constant_pad_nd",
      "embedding", "embedding_dense_backward", "select_backward", "slice_backward",
      "unfold_backward", "_masked_scale", "trace",
      // products
      "mm", "bmm", "addmm", "addmv", "addr", "baddbmm", "addbmm", "mv", "dot", "vdot",
      "linear_backward", "convolution", "convolution_backward",
      // networks
      "relu", "gelu", "gelu_backward", "silu", "silu_backward", "mish", "mish_backward",
      "threshold", "threshold_backward", "leaky_relu", "leaky_relu_backward", "elu",
      "elu_backward", "softplus", "softplus_backward", "hardtanh", "hardtanh_backward",
      "hardswish", "hardswish_backward", "hardsigmoid", "hardsigmoid_backward", "glu",
      "glu_backward", "log_sigmoid_forward", "log_sigmoid_backward", "sigmoid_backward",
      "tanh_backward", "_softmax", "_softmax_backward_data", "_log_softmax",
      "_log_softmax_backward_data", "native_layer_norm", "native_layer_norm_backward",
      "native_group_norm", "native_group_norm_backward", "native_batch_norm",
      "native_batch_norm_backward", "native_dropout_backward", "nll_loss_forward",
      "nll_loss_backward", "nll_loss2d_forward", "nll_loss2d_backward", "mse_loss",
      "mse_loss_backward", "smooth_l1_loss", "smooth_l1_loss_backward", "huber_loss",
      "huber_loss_backward", "binary_cross_entropy", "binary_cross_entropy_backward",
      "max_pool2d_with_indices", "max_pool2d_with_indices_backward", "avg_pool2d",
      "avg_pool2d_backward", "_adaptive_avg_pool2d", "_adaptive_avg_pool2d_backward",
      "upsample_nearest2d", "upsample_nearest2d_backward", "upsample_bilinear2d",
      "upsample_bilinear2d_backward",
      // random numbers
      "uniform", "normal", "random", "bernoulli", "exponential", "randperm", "multinomial",
      "cauchy", "log_normal", "geometric",
      // optimisers and mixed precision
      "_fused_adam", "_fused_adamw", "_fused_sgd", "_amp_foreach_non_finite_check_and_unscale",
      "_amp_update_scale"};
  return names;
}

}  // namespace torch_mlu
