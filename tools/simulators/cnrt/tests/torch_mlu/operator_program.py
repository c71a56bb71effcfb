"""Runs operators on the device and on the CPU with the same random inputs; prints how many cases.

Arguments: a seed, and how many examples each operator gets. Inputs vary in shape (also empty and
without dimensions), dtype, strides (transposed, strided, expanded) and broadcasting. The expected
values are the CPU's own, from tensors that never saw the device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch.nn import functional as F

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
INTEGERS = (torch.int64, torch.int32, torch.int8, torch.uint8)
ANY = (*FLOATS, *INTEGERS)


@dataclass(frozen=True)
class Case:
    """An operator of `count` tensors that broadcast with each other."""

    name: str
    run: Callable[..., Any]
    count: int = 1
    dtypes: tuple[torch.dtype, ...] = ANY
    least: int = 0  # dimensions


def _binary(name: str, dtypes: tuple[torch.dtype, ...] = ANY) -> Case:
    return Case(name, getattr(torch, name), 2, dtypes)


def _unary(name: str, dtypes: tuple[torch.dtype, ...] = FLOATS) -> Case:
    return Case(name, getattr(torch, name), 1, dtypes)


def _in_place(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[..., ::2].mul_(2).add_(1)
    y.t_() if y.dim() == 2 else y.neg_()
    return y


def _into_outputs(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    empty = torch.empty(0, dtype=x.dtype, device=x.device)
    torch.add(x, y, out=empty)
    turned = torch.empty(tuple(reversed(empty.shape)), dtype=x.dtype, device=x.device)
    turned = turned.permute(list(reversed(range(turned.dim()))))
    torch.mul(x, y, out=turned)
    return [empty, turned]


def _masked(x: torch.Tensor) -> list[torch.Tensor]:
    mask = x > 0
    y = x.clone()
    y[mask] = 3
    return [x[mask], y, x.masked_fill(~mask, 7), torch.where(mask, x, 2), torch.nonzero(mask)]


def _rows(x: torch.Tensor) -> list[torch.Tensor]:
    at = torch.arange(x.shape[0], device=x.device).flip(0)
    twice = torch.cat([at, at])
    y = x.clone()
    y[at] = x
    added = torch.zeros_like(x).index_add_(0, twice, torch.cat([x, x]))
    copied = torch.zeros_like(x).index_copy_(0, at, x)
    put = torch.zeros_like(x).index_put_((twice,), torch.cat([x, x]), accumulate=True)
    return [x[at], x[at.cpu()], x.index_select(0, twice), y, added, copied, put, x.flip(0)]


CASES = (
    *map(_binary, ("add", "sub", "mul", "eq", "lt", "ge", "maximum", "minimum")),
    *(_binary(name, FLOATS) for name in ("div", "pow", "atan2", "fmod")),
    *(_binary(name, INTEGERS) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")),
    *map(_unary, ("exp", "sqrt", "rsqrt", "sin", "tanh", "sigmoid", "erf", "log1p", "round")),
    *(_unary(name, ANY) for name in ("abs", "neg", "sign", "isnan")),
    Case("numbers", lambda x: [x + 1, 2 * x, x - torch.tensor(3), x.clamp(-1, 1)]),
    Case("scalars", lambda x: [x * 2.5, x / 3, x**2], dtypes=FLOATS),
    Case("shifts", lambda x: [x << 1, x >> 1, x & 3], dtypes=INTEGERS[:3]),
    Case("conversions", lambda x: [x.to(d) for d in (torch.float32, torch.float64, torch.bool)]),
    Case("copies", lambda x: [x.clone(), x.contiguous(), x.t() if x.dim() == 2 else x]),
    Case("in place", _in_place, least=1),
    Case("outputs", _into_outputs, 2),
    Case("masks", _masked),
    Case("rows", _rows, least=1),
    Case("sums", lambda x: [x.sum(), x.sum(0), x.sum(-1, keepdim=True), x.prod(0)], least=1),
    Case("means", lambda x: [x.mean(0), x.var(0), x.logsumexp(0)], dtypes=FLOATS, least=1),
    Case("extremes", lambda x: [*x.sort(0), x.cumsum(0), x.any(0), x.all()], least=1),
    Case("joined", lambda x, y: [torch.cat([x, x], 0), torch.stack([x, y.expand_as(x)])], 2,
         least=1),
    Case("softmax", lambda x: [F.softmax(x, 0), F.log_softmax(x, -1)], dtypes=FLOATS[:3], least=1),
    Case("activations", lambda x: [F.gelu(x), F.silu(x), F.relu(x), F.leaky_relu(x)],
         dtypes=FLOATS[:3]),
    Case("views", lambda x: [x.unsqueeze(0).expand(3, *x.shape).reshape(-1), x.flatten() + 1]),
    Case("bytes", lambda x: x.new_empty(x.shape).copy_(x).view(torch.uint8), least=1),
)  # fmt: skip


@st.composite
def _inputs(draw: st.DrawFn, case: Case) -> list[torch.Tensor]:
    dtype = draw(st.sampled_from(case.dtypes))
    shape = draw(st.lists(st.integers(0, 5), min_size=case.least, max_size=3))
    if case.least:
        shape[0] = max(shape[0], 1)
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    made = []
    for number in range(case.count):
        sizes = list(shape)
        if number:  # broadcasts to the first
            sizes = sizes[draw(st.integers(0, len(sizes))) :]
            sizes = [1 if draw(st.booleans()) else size for size in sizes]
        made.append(_laid_out(draw(st.integers(0, 3)), sizes, dtype, random))
    return made


def _laid_out(
    layout: int, sizes: list[int], dtype: torch.dtype, random: torch.Generator
) -> torch.Tensor:
    def values(shape: list[int]) -> torch.Tensor:
        if dtype.is_floating_point:
            return torch.randn(shape, generator=random).mul(3).to(dtype)
        low = 0 if dtype == torch.uint8 else -50
        return torch.randint(low, 50, shape, generator=random).to(dtype)

    if layout == 1 and sizes:  # transposed
        return values(sizes[::-1]).permute(list(reversed(range(len(sizes)))))
    if layout == 2 and sizes:  # every other element, from the second
        return values([*sizes[:-1], 2 * sizes[-1] + 1])[..., 1::2]
    if layout == 3 and sizes:  # expanded
        return values([1, *sizes[1:]]).expand(sizes)
    return values(sizes)


def _same(name: str, found: Any, expected: Any) -> None:
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(name, one, other)
        return
    assert found.device.type == "mlu", name
    assert expected.device.type == "cpu", name
    torch.testing.assert_close(found.cpu(), expected, equal_nan=True, rtol=1e-5, atol=1e-6)


def _to_device(tensor: torch.Tensor) -> torch.Tensor:
    """On the device with the same strides."""
    base = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="mlu")
    if 0 in tensor.stride() and tensor.numel():
        small = tensor[:1].to("mlu")
        return small.expand(tensor.shape) if tensor.stride(0) == 0 else tensor.to("mlu")
    return base.copy_(tensor)


def main(number: int, examples: int) -> None:
    ran = 0

    def checked(case: Case) -> Callable[[], None]:
        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(_inputs(case))
        def check(inputs: list[torch.Tensor]) -> None:
            nonlocal ran
            expected = case.run(*inputs)
            _same(case.name, case.run(*map(_to_device, inputs)), expected)
            ran += 1

        return check  # type: ignore[no-any-return]

    for case in CASES:
        checked(case)()
    print(ran)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
