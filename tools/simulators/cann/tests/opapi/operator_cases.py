"""Calls of torch, each to be made on the CPU and on the simulated NPU with the same inputs.

A case is a function of tensors, the tensors' makers, and whose gradients are compared too.
Makers draw from the generator they are given, so every run of the program has inputs of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as nn

Maker = Callable[[torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Case:
    family: str
    name: str
    call: Callable[..., Any]
    makers: tuple[Maker, ...]
    gradients: str = ""  # of "all" tensors, or the "first", or none


CASES: list[Case] = []


def case(family: str, name: str, call: Callable[..., Any], *makers: Maker, grad: str = "") -> None:
    CASES.append(Case(family, name, call, makers, grad))


def real(*shape: int, dtype: torch.dtype = torch.float32, low: float | None = None) -> Maker:
    """Normal numbers, or from `low` up."""

    def make(random: torch.Generator) -> torch.Tensor:
        drawn = torch.randn(shape, generator=random)
        return (drawn if low is None else drawn.abs() + low).to(dtype)

    return make


def whole(low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Maker:
    return lambda random: torch.randint(low, high, shape, generator=random).to(dtype)


def chance(*shape: int) -> Maker:
    return lambda random: torch.rand(shape, generator=random) * 0.98 + 0.01


def flags(*shape: int) -> Maker:
    return lambda random: torch.rand(shape, generator=random) < 0.5


def order(count: int) -> Maker:
    return lambda random: torch.randperm(count, generator=random)


def distinct(*shape: int) -> Maker:
    """Numbers without ties, for results that name positions."""

    def make(random: torch.Generator) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.randperm(count, generator=random).reshape(shape).float() / 7 - 3

    return make


HALF, BRAIN = torch.float16, torch.bfloat16
KINDS: dict[str, Maker] = {
    "float32": real(3, 5),
    "float16": real(3, 5, dtype=HALF),
    "bfloat16": real(3, 5, dtype=BRAIN),
    "int64": whole(-9, 10, 3, 5),
    "int32": whole(-9, 10, 3, 5, dtype=torch.int32),
    "int16": whole(-9, 10, 3, 5, dtype=torch.int16),
    "int8": whole(-9, 10, 3, 5, dtype=torch.int8),
    "uint8": whole(0, 20, 3, 5, dtype=torch.uint8),
}

# --- creation -----------------------------------------------------------------------------------

case("creation", "arange", lambda x: torch.arange(3, 20, 2, device=x.device), real(1))
case("creation", "arange float", lambda x: torch.arange(0, 1, 0.125, device=x.device), real(1))
case("creation", "full", lambda x: torch.full((3, 4), 7, device=x.device), real(1))
case("creation", "zeros", lambda x: torch.zeros(5, dtype=torch.int32, device=x.device), real(1))
case("creation", "ones", lambda x: torch.ones(5, dtype=HALF, device=x.device), real(1))
case("creation", "eye", lambda x: torch.eye(3, 5, device=x.device), real(1))
case("creation", "linspace", lambda x: torch.linspace(-1, 2, 7, device=x.device), real(1))
case("creation", "zeros_like", torch.zeros_like, real(2, 3, dtype=HALF))
case("creation", "fill_", lambda x: x.clone().fill_(2.5), real(2, 3))
case("creation", "fill_ bool", lambda x: x.clone().fill_(True), flags(4))
case("creation", "fill_diagonal_", lambda x: x.clone().fill_diagonal_(0), real(4, 4))

# --- copies -------------------------------------------------------------------------------------

for kind, maker in KINDS.items():
    for target in (torch.float32, HALF, BRAIN, torch.int64, torch.int32, torch.int8, torch.bool):
        case("copies", f"{kind} to {target}", lambda x, target=target: x.to(target), maker)
    case("copies", f"{kind} clone", lambda x: x.clone(), maker)
    case("copies", f"{kind} copy_ broadcast", lambda x: torch.zeros_like(x).copy_(x[0]), maker)
    case("copies", f"{kind} into columns", lambda x: _into_columns(x), maker)
    case("copies", f"{kind} bytes", lambda x: x.contiguous().view(torch.uint8), maker)
case("copies", "cat", lambda *x: torch.cat(x, 1), real(2, 3), real(2, 1), real(2, 4))
case("copies", "stack", lambda *x: torch.stack(x, 1), real(2, 3), real(2, 3))
case("copies", "split", lambda x: torch.split(x, [1, 3], 1), real(3, 4))
case("copies", "chunk", lambda x: [part.contiguous() for part in x.chunk(2)], real(4, 3))
case("copies", "repeat", lambda x: x.repeat(2, 1, 3), real(2, 3))
case("copies", "flip", lambda x: x.flip(0, 1), real(3, 4))
case("copies", "roll", lambda x: x.roll((1, -2), (0, 1)), real(3, 4))
case("copies", "permute", lambda x: x.permute(2, 0, 1).contiguous(), real(2, 3, 4))
case("copies", "expand", lambda x: x[:, None].expand(3, 5, 4).contiguous(), real(3, 4))
case("copies", "pad", lambda x: nn.pad(x, (1, 2, 0, 3), value=-1), real(3, 4))
case(
    "copies", "pad reflect", lambda x: nn.pad(x, (1, 2), mode="reflect"), real(1, 3, 4), grad="all"
)


def _into_columns(x: torch.Tensor) -> torch.Tensor:
    wide = torch.zeros(x.shape[0], 2 * x.shape[1], dtype=x.dtype, device=x.device)
    wide[:, ::2] = x
    return wide


# --- arithmetic ---------------------------------------------------------------------------------

BINARY: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "add scaled": lambda x, y: torch.add(x, y, alpha=2),
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "plus 3": lambda x, y: x + 3,
    "3 minus": lambda x, y: 3 - x,
    "times 2": lambda x, y: x * 2,
    "add_": lambda x, y: x.clone().add_(y),
    "mul_": lambda x, y: x.clone().mul_(y),
    "sub_ 1": lambda x, y: x.clone().sub_(1),
    "clamp": lambda x, y: x.clamp(1, 4),
    "clamp min": lambda x, y: x.clamp(min=2),
    "row": lambda x, y: x + y[0],
}
for kind, maker in KINDS.items():
    for name, call in BINARY.items():
        case("arithmetic", f"{kind} {name}", call, maker, maker)
FLOATING: dict[str, Callable[..., Any]] = {
    "div": lambda x, y: x / (y.abs() + 1),
    "div 3": lambda x, y: x / 3,
    "reciprocal scalar": lambda x, y: 2 / (x.abs() + 1),
    "div floor": lambda x, y: torch.div(x, y.abs() + 1, rounding_mode="floor"),
    "div trunc": lambda x, y: torch.div(x, 2, rounding_mode="trunc"),
    "pow 2": lambda x, y: x**2,
    "pow": lambda x, y: (x.abs() + 0.5) ** y,
    "2 pow": lambda x, y: 2**x,
    "atan2": torch.atan2,
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.5),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y.abs() + 1, value=0.5),
    "fmod": lambda x, y: torch.fmod(x, 0.7),
    "logaddexp": torch.logaddexp,
}
for kind in ("float32", "float16", "bfloat16"):
    for name, call in FLOATING.items():
        case("arithmetic", f"{kind} {name}", call, KINDS[kind], KINDS[kind])
INTEGER: dict[str, Callable[..., Any]] = {
    "floor divide": lambda x: x // 3,
    "remainder": lambda x: x % 5,
    "true divide": lambda x: x / 4,
    "square": lambda x: x**2,
    "fmod": lambda x: torch.fmod(x, 4),
}
for kind in ("int64", "int32", "int16", "int8", "uint8"):
    for name, call in INTEGER.items():
        case("arithmetic", f"{kind} {name}", call, KINDS[kind])
case("arithmetic", "mixed dtypes", lambda x, y: x * y, real(3, 4), whole(0, 5, 3, 4))
case("arithmetic", "int times 0.5", lambda x: x * 0.5, whole(0, 9, 6, dtype=torch.int32))
case("arithmetic", "scalar tensor", lambda x, y: x + y.sum(), real(3, 4), real(3))
case("arithmetic", "host scalar", lambda x: torch.tensor(2.5) * x, real(3, 4))

# fmt: off
UNARY = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc",
    "exp", "exp2", "expm1", "floor", "frac", "log", "log10", "log1p", "log2", "neg", "reciprocal",
    "round", "rsqrt", "sigmoid", "sign", "sin", "sinc", "sinh", "sqrt", "tan", "tanh", "trunc",
    "signbit", "isfinite", "isnan", "isinf", "isposinf",
)
ACTIVATIONS = (
    "relu", "sigmoid", "tanh", "silu", "mish", "gelu", "elu", "celu", "leaky_relu", "hardtanh",
    "hardswish", "hardsigmoid", "hardshrink", "softshrink", "softplus", "logsigmoid", "glu",
    "relu6", "selu",
)
# fmt: on
for name in UNARY:
    call = getattr(torch, name)
    inside = {"acosh": 1.1, "log": 0.1, "log10": 0.1, "log2": 0.1, "rsqrt": 0.1, "sqrt": 0.0}
    bounded = name in ("acos", "asin", "atanh")
    maker = chance(3, 5) if bounded else real(3, 5, low=inside.get(name))
    case("unary", name, call, maker)
    if hasattr(torch, f"{name}_"):
        case("unary", f"{name}_", lambda x, name=name: getattr(x.clone(), f"{name}_")(), maker)
case("unary", "erfinv", torch.erfinv, chance(6))
case("unary", "round decimals", lambda x: torch.round(x, decimals=2), real(9))
case("unary", "nan_to_num", lambda x: torch.nan_to_num(x / (x > 0), 1, 2, 3), real(9))
case("unary", "abs half", torch.abs, real(7, dtype=HALF))
case("unary", "abs int", torch.abs, whole(-5, 5, 7, dtype=torch.int32))
case("unary", "neg int8", torch.neg, whole(-5, 5, 7, dtype=torch.int8))

# --- comparison, logic, bits --------------------------------------------------------------------

for kind, maker in KINDS.items():
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        call = getattr(torch, name)
        case("comparison", f"{kind} {name}", call, maker, maker)
        case("comparison", f"{kind} {name} 2", lambda x, call=call: call(x, 2), maker)
case("comparison", "equal", lambda x: torch.tensor(torch.equal(x, x.clone())), real(3, 4))
case("comparison", "not equal", lambda x: torch.tensor(torch.equal(x, x + 1)), real(3, 4))
case("comparison", "isclose", lambda x: torch.isclose(x, x + 1e-9), real(5))
case(
    "comparison",
    "isin",
    lambda x: torch.isin(x, torch.tensor([1, 3], device=x.device)),
    whole(0, 5, 9),
)
for name in ("logical_and", "logical_or", "logical_xor"):
    case("comparison", name, getattr(torch, name), flags(3, 4), flags(3, 4))
case("comparison", "logical_not", torch.logical_not, flags(3, 4))
case("comparison", "~", lambda x: ~x, flags(3, 4))
for kind in ("int64", "int32", "int16", "int8", "uint8"):
    maker = KINDS[kind]
    case("bits", f"{kind} and", lambda x, y: x & y, maker, maker)
    case("bits", f"{kind} or", lambda x, y: x | y, maker, maker)
    case("bits", f"{kind} xor", lambda x, y: x ^ y, maker, maker)
    case("bits", f"{kind} and 6", lambda x: x & 6, maker)
    case("bits", f"{kind} or 5", lambda x: x | 5, maker)
    case("bits", f"{kind} xor 3", lambda x: x ^ 3, maker)
    case("bits", f"{kind} not", lambda x: ~x, maker)
    case("bits", f"{kind} <<", lambda x: x << 2, maker)
    case("bits", f"{kind} >>", lambda x: x >> 1, maker)
    case("bits", f"{kind} << tensor", lambda x, y: x << (y & 3), maker, maker)
    case("bits", f"{kind} >> tensor", lambda x, y: x >> (y & 3), maker, maker)
    case("bits", f"{kind} and_", lambda x, y: x.clone().bitwise_and_(y), maker, maker)
    case("bits", f"{kind} or_", lambda x, y: x.clone().bitwise_or_(y), maker, maker)

# --- indexing -----------------------------------------------------------------------------------

for kind, maker in KINDS.items():
    case(
        "indexing", f"{kind} index_select", lambda x, i: x.index_select(1, i), maker, whole(0, 5, 7)
    )
    case("indexing", f"{kind} x[i]", lambda x, i: x[i], maker, whole(-3, 3, 4))
    case("indexing", f"{kind} gather", lambda x, i: x.gather(1, i), maker, whole(0, 5, 3, 4))
    case("indexing", f"{kind} where", lambda x, m: torch.where(m, x, -x), maker, flags(3, 5))
    case("indexing", f"{kind} slice", lambda x: x[1:, 1::2].contiguous(), maker)
    case(
        "indexing",
        f"{kind} index_copy_",
        lambda x, y, i: x.clone().index_copy_(0, i, y),
        maker,
        maker,
        order(3),
    )
    case(
        "indexing",
        f"{kind} x[i] = y",
        lambda x, y, i: _assigned(x, i, y),
        maker,
        maker,
        order(3),
    )
case("indexing", "x[i, j]", lambda x, i, j: x[i, j], real(4, 5), whole(0, 4, 6), whole(0, 5, 6))
case("indexing", "x[:, i]", lambda x, i: x[:, i], real(4, 5, 2), whole(0, 5, 3, 2))
case("indexing", "x[m]", lambda x, m: x[m], real(4, 5), flags(4, 5))
case("indexing", "x[m] = 1", lambda x, m: _assigned(x, m, 1.0), real(4, 5), flags(4, 5))
case("indexing", "x[:, 1] = y", lambda x, y: _assigned(x, (slice(None), 1), y), real(4, 5), real(4))
case(
    "indexing",
    "index_put accumulate",
    lambda x, i, y: x.index_put((i,), y, accumulate=True),
    real(4),
    whole(0, 4, 9),
    real(9),
)
case(
    "indexing",
    "index_add",
    lambda x, i, y: x.index_add(0, i, y),
    real(4, 3),
    whole(0, 4, 6),
    real(6, 3),
)
case("indexing", "index_fill", lambda x, i: x.index_fill(1, i, 2.0), real(3, 5), whole(0, 5, 2))
case(
    "indexing",
    "scatter",
    lambda x, i, y: x.scatter(1, i, y),
    real(3, 5),
    lambda random: torch.stack([torch.randperm(5, generator=random)[:4] for _ in range(3)]),
    real(3, 4),
)
case("indexing", "scatter value", lambda x, i: x.scatter(1, i, 9.0), real(3, 5), whole(0, 5, 3, 4))
case(
    "indexing",
    "scatter_add",
    lambda x, i, y: x.scatter_add(1, i, y),
    real(3, 5),
    whole(0, 5, 3, 8),
    real(3, 8),
)
case("indexing", "masked_fill", lambda x, m: x.masked_fill(m, -1e9), real(4, 5), flags(4, 5))
case("indexing", "masked_select", torch.masked_select, real(4, 5), flags(4, 5))
case(
    "indexing",
    "masked_scatter",
    lambda x, m, y: x.masked_scatter(m, y),
    real(4, 5),
    flags(4, 5),
    real(20),
)
case("indexing", "nonzero", torch.nonzero, flags(4, 5))
case("indexing", "take", torch.take, real(4, 5), whole(0, 20, 7))
case(
    "indexing",
    "take_along_dim",
    lambda x, i: torch.take_along_dim(x, i, 1),
    real(3, 5),
    whole(0, 5, 3, 2),
)
case("indexing", "tril", lambda x: x.tril(-1), real(4, 5))
case("indexing", "triu", lambda x: x.triu(1), real(4, 5))
case("indexing", "triu_", lambda x: x.clone().triu_(), real(4, 5))
case("indexing", "one_hot", lambda x: nn.one_hot(x, 6), whole(0, 6, 3, 2))
case(
    "indexing",
    "embedding",
    lambda w, i: nn.embedding(i, w),
    real(7, 3),
    whole(0, 7, 2, 4),
    grad="all",
)
case("indexing", "repeat_interleave", lambda x: x.repeat_interleave(3, 1), real(2, 3))
case("indexing", "repeats", lambda x, n: x.repeat_interleave(n, 0), real(4, 3), whole(0, 4, 4))


def _assigned(x: torch.Tensor, where: Any, value: Any) -> torch.Tensor:
    copy = x.clone()
    copy[where] = value
    return copy


# --- reductions ---------------------------------------------------------------------------------

for kind in ("float32", "float16", "bfloat16", "int64", "int32"):
    maker = KINDS[kind]
    case("reductions", f"{kind} sum", torch.sum, maker)
    case("reductions", f"{kind} sum dim", lambda x: x.sum(0, keepdim=True), maker)
    case("reductions", f"{kind} amax", lambda x: x.amax(1), maker)
    case("reductions", f"{kind} amin all", torch.amin, maker)
    case("reductions", f"{kind} max", lambda x: x.max(), maker)
    case("reductions", f"{kind} min", lambda x: x.min(), maker)
    case("reductions", f"{kind} cumsum", lambda x: x.cumsum(1), maker)
    case("reductions", f"{kind} any", lambda x: (x > 1).any(), maker)
    case("reductions", f"{kind} all dim", lambda x: (x > -3).all(0), maker)
for name, call in {
    "mean": torch.mean,
    "mean dims": lambda x: x.mean((0, 2)),
    "max dim": lambda x: x.max(1),
    "min dim": lambda x: x.min(-1, keepdim=True),
    "argmax": lambda x: x.argmax(),
    "argmin dim": lambda x: x.argmin(1),
    "prod": torch.prod,
    "prod dim": lambda x: x.prod(1),
    "cumprod": lambda x: x.cumprod(0),
    "cummax": lambda x: torch.cummax(x, 1),
    "var": lambda x: x.var(1),
    "var all": lambda x: x.var(correction=0),
    "std": lambda x: x.std(0),
    "var_mean": lambda x: torch.var_mean(x, 1),
    "norm": torch.norm,
    "norm 1": lambda x: x.norm(1, dim=1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 3, dim=0),
    "logsumexp": lambda x: x.logsumexp(1),
    "aminmax": lambda x: x.aminmax(dim=1),
    "nansum": torch.nansum,
    "count_nonzero": torch.count_nonzero,
}.items():
    case("reductions", name, call, distinct(3, 4, 2))
case("reductions", "bincount", torch.bincount, whole(0, 6, 20))
case("reductions", "all", lambda x: x.all(), flags(3))

# --- products -----------------------------------------------------------------------------------

for dtype in (torch.float32, HALF, BRAIN):
    case(
        "matmul",
        f"mm {dtype}",
        torch.mm,
        real(3, 4, dtype=dtype),
        real(4, 5, dtype=dtype),
        grad="all",
    )
    case(
        "matmul", f"bmm {dtype}", torch.bmm, real(2, 3, 4, dtype=dtype), real(2, 4, 5, dtype=dtype)
    )
    case(
        "matmul", f"matmul {dtype}", torch.matmul, real(2, 3, 4, dtype=dtype), real(4, dtype=dtype)
    )
case("matmul", "linear", nn.linear, real(2, 3, 4), real(5, 4), real(5), grad="all")
case("matmul", "transposed", lambda x, y: x @ y.t(), real(3, 4), real(5, 4))
case(
    "matmul",
    "addmm",
    lambda *x: torch.addmm(*x, beta=0.5, alpha=2),
    real(5),
    real(3, 4),
    real(4, 5),
)
case("matmul", "baddbmm", torch.baddbmm, real(2, 3, 5), real(2, 3, 4), real(2, 4, 5))
case("matmul", "mv", torch.mv, real(3, 4), real(4))
case("matmul", "dot", torch.dot, real(6), real(6))
case("matmul", "addmv", torch.addmv, real(3), real(3, 4), real(4))
case("matmul", "outer", torch.outer, real(3), real(4))
case("matmul", "einsum", lambda x, y: torch.einsum("bij,kj->bik", x, y), real(2, 3, 4), real(5, 4))

# --- activations --------------------------------------------------------------------------------

for name in ACTIVATIONS:
    call = getattr(nn, name)
    case("activations", name, call, real(3, 6), grad="all")
case("activations", "prelu", nn.prelu, real(3, 6), real(6), grad="all")
case("activations", "threshold", lambda x: nn.threshold(x, 0.1, 2), real(3, 6), grad="all")
for dtype in (torch.float32, HALF, BRAIN):
    maker = real(3, 6, dtype=dtype)
    case("activations", f"softmax {dtype}", lambda x: x.softmax(-1), maker, grad="all")
    case("activations", f"log_softmax {dtype}", lambda x: x.log_softmax(0), maker, grad="all")
    case("activations", f"softmax to float {dtype}", lambda x: x.softmax(1, torch.float32), maker)

# --- normalisation ------------------------------------------------------------------------------

case(
    "normalisation",
    "layer_norm",
    lambda x, w, b: nn.layer_norm(x, (6,), w, b),
    real(4, 6),
    real(6),
    real(6),
    grad="all",
)
case(
    "normalisation",
    "layer_norm plain",
    lambda x: nn.layer_norm(x, (4, 6)),
    real(2, 4, 6),
    grad="all",
)
case(
    "normalisation",
    "group_norm",
    lambda x, w, b: nn.group_norm(x, 2, w, b),
    real(3, 4, 5),
    real(4),
    real(4),
    grad="all",
)
case(
    "normalisation",
    "batch_norm",
    lambda x, w, b: nn.batch_norm(x, None, None, w, b, training=True),
    real(6, 4),
    real(4),
    real(4),
    grad="all",
)

# --- order --------------------------------------------------------------------------------------

case("sorting", "sort", lambda x: x.sort(1), distinct(4, 5))
case("sorting", "sort down", lambda x: x.sort(0, descending=True), distinct(4, 5))
case(
    "sorting",
    "sort stable",
    lambda x: torch.sort(x, stable=True),
    whole(0, 4, 20, dtype=torch.int32),
)
case("sorting", "argsort", lambda x: x.argsort(-1), distinct(4, 5))
case("sorting", "topk", lambda x: x.topk(3, 1), distinct(4, 5))
case("sorting", "topk smallest", lambda x: x.topk(2, 0, largest=False), distinct(4, 5))
case("sorting", "kthvalue", lambda x: x.kthvalue(2, 1), distinct(4, 5))
case("sorting", "median", lambda x: x.median(), distinct(5, 5))
case("sorting", "median dim", lambda x: x.median(1), distinct(5, 5))
case("sorting", "unique", torch.unique, whole(0, 6, 20))
case(
    "sorting",
    "unique with all",
    lambda x: torch.unique(x, return_inverse=True, return_counts=True),
    whole(0, 6, 20),
)
case("sorting", "unique_consecutive", torch.unique_consecutive, whole(0, 3, 20))
case("sorting", "searchsorted", lambda x, y: torch.searchsorted(x.sort()[0], y), real(9), real(4))

# --- losses -------------------------------------------------------------------------------------

for reduction in ("mean", "sum", "none"):
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "soft_margin_loss", "huber_loss"):
        call = getattr(nn, name)
        case(
            "losses",
            f"{name} {reduction}",
            lambda x, y, call=call, how=reduction: call(x, y, reduction=how),
            real(3, 4),
            real(3, 4),
            grad="first",
        )
    case(
        "losses",
        f"cross_entropy {reduction}",
        lambda x, y, how=reduction: nn.cross_entropy(x, y, reduction=how),
        real(5, 4),
        whole(0, 4, 5),
        grad="first",
    )
    case(
        "losses",
        f"nll_loss weighted {reduction}",
        lambda x, y, w, how=reduction: nn.nll_loss(x, y, w, reduction=how, ignore_index=1),
        real(5, 4),
        whole(0, 4, 5),
        chance(4),
    )
    case(
        "losses",
        f"binary_cross_entropy {reduction}",
        lambda x, y, how=reduction: nn.binary_cross_entropy(x, y, reduction=how),
        chance(3, 4),
        chance(3, 4),
    )
    case(
        "losses",
        f"with_logits {reduction}",
        lambda x, y, p, how=reduction: nn.binary_cross_entropy_with_logits(
            x, y, pos_weight=p, reduction=how
        ),
        real(3, 4),
        chance(3, 4),
        chance(4),
    )
    case(
        "losses",
        f"kl_div {reduction}",
        lambda x, y, how=reduction: nn.kl_div(x, y, reduction=how),
        real(3, 4),
        chance(3, 4),
    )

# --- lists --------------------------------------------------------------------------------------

for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
    call = getattr(torch, f"_foreach_{name}")
    case(
        "foreach",
        name,
        lambda a, b, c, d, call=call: call([a, b], [c, d]),
        *[real(3, 4, low=0.5)] * 4,
    )
    case("foreach", f"{name} 2", lambda a, b, call=call: call([a, b], 2.0), *[real(3, 4)] * 2)
    case(
        "foreach", f"{name} list", lambda a, b, call=call: call([a, b], [2.0, 3.0]), *[real(3)] * 2
    )
for name in ("abs", "exp", "sqrt", "neg", "reciprocal", "sigmoid", "tanh", "log1p"):
    call = getattr(torch, f"_foreach_{name}")
    case("foreach", name, lambda a, b, call=call: call([a, b]), *[real(3, 4, low=0.5)] * 2)
for name in ("addcmul", "addcdiv"):
    call = getattr(torch, f"_foreach_{name}")
    case(
        "foreach",
        name,
        lambda a, b, c, call=call: call([a, b], [b, c], [c, a], 0.5),
        *[real(3, 4, low=0.5)] * 3,
    )
    case(
        "foreach",
        f"{name} list",
        lambda a, b, c, call=call: call([a, b], [b, c], [c, a], [0.5, 2.0]),
        *[real(3, 4, low=0.5)] * 3,
    )
case("foreach", "lerp", lambda a, b: torch._foreach_lerp([a, b], [b, a], 0.3), real(3), real(3))
case("foreach", "norm", lambda a, b: torch._foreach_norm([a, b]), real(3, 4), real(5))
case("foreach", "zero_", lambda a: _zeroed(a), real(3, 4))


def _zeroed(a: torch.Tensor) -> torch.Tensor:
    copy = a.clone()
    torch._foreach_zero_([copy])
    return copy


# --- convolution --------------------------------------------------------------------------------

case(
    "convolution",
    "conv2d",
    lambda x, w, b: nn.conv2d(x, w, b, stride=2, padding=1),
    real(2, 3, 8, 8),
    real(4, 3, 3, 3),
    real(4),
    grad="all",
)
case("convolution", "conv1d", nn.conv1d, real(2, 3, 8), real(4, 3, 3), grad="all")
case("convolution", "avg_pool2d", lambda x: nn.avg_pool2d(x, 2), real(1, 2, 6, 6), grad="all")
case(
    "convolution", "adaptive", lambda x: nn.adaptive_avg_pool2d(x, 2), real(1, 2, 6, 6), grad="all"
)
case("convolution", "max_pool2d", lambda x: nn.max_pool2d(x, 2), real(1, 2, 6, 6), grad="all")
case(
    "convolution",
    "nearest",
    lambda x: nn.interpolate(x, scale_factor=2),
    real(1, 2, 3, 4),
    grad="all",
)
case(
    "convolution",
    "bilinear",
    lambda x: nn.interpolate(x, size=(5, 7), mode="bilinear"),
    real(1, 2, 3, 4),
    grad="all",
)

# --- attention ----------------------------------------------------------------------------------

HEADS = (real(2, 3, 5, 8, dtype=HALF),) * 3
case("attention", "plain", nn.scaled_dot_product_attention, *HEADS, grad="all")
case(
    "attention",
    "causal",
    lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, is_causal=True),
    *HEADS,
    grad="all",
)
case(
    "attention",
    "masked",
    lambda q, k, v: nn.scaled_dot_product_attention(
        q, k, v, attn_mask=torch.ones(5, 5, dtype=torch.bool, device=q.device).tril()
    ),
    *HEADS,
)
