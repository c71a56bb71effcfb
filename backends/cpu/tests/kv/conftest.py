"""Caches of labelled elements: expectations from the letters of a layout alone.

Nothing here uses accel's strides, plans or views. A cache is built tensor by tensor inside guarded
buffers, and read back element by element: the letters say which (layer, plane, token, element) an
index stands for.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import accel
from accel.kv import KVCache

#: (layer, plane, token, element of the token)
Label = tuple[int, int, int, int]
Content = dict[Label, int]

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
GUARD = 64  # bytes before and after every tensor


@dataclass(frozen=True)
class Sizes:
    layers: int = 2
    blocks: int = 3
    block_size: int = 4
    heads: int = 2
    head_dim: int = 4
    split: int = 2  # extent of D0 where D is split

    @property
    def tokens(self) -> int:
        return self.blocks * self.block_size

    def extent(self, axis: str, whole_token: bool) -> int:
        """``whole_token``: the layout has no H, so D holds all heads."""
        width = self.head_dim * (self.heads if whole_token else 1)
        return {
            "L": self.layers,
            "K": 2,
            "B": self.blocks,
            "S": self.block_size,
            "T": self.tokens,
            "H": self.heads,
            "D": width,
            "D1": width // self.split,
            "D0": self.split,
            "1": 1,
        }[axis]


@dataclass
class Labelled:
    """A cache, the buffers behind it, and what the letters say about every element."""

    cache: KVCache
    parts: list[Part]

    def read(self) -> Content:
        content: Content = {}
        for part in self.parts:
            content.update(part.read())
        return content

    def slack(self) -> list[list[int]]:
        """All bytes that belong to no element."""
        return [part.slack() for part in self.parts]


@dataclass
class Part:
    """One tensor of a cache in a buffer of its own."""

    buffer: torch.Tensor  # uint8
    tensor: torch.Tensor
    axes: list[str]
    fixed: dict[str, int]  # the outer axes' indices, K included for joined planes
    sizes: Sizes
    labels: dict[Label, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = self.sizes
        for index in itertools.product(*(range(n) for n in self.tensor.shape)):
            at = {**self.fixed, **dict(zip(self.axes, index, strict=True))}
            token = at["T"] if "T" in at else at["B"] * sizes.block_size + at["S"]
            dim = at["D"] if "D" in at else at["D1"] * sizes.split + at["D0"]
            element = at.get("H", 0) * sizes.head_dim + dim
            self.labels[at.get("L", 0), at.get("K", 0), token, element] = index

    def read(self) -> Content:
        nested: Any = self.tensor.view(INTEGERS[self.tensor.element_size()]).tolist()

        def get(index: tuple[int, ...]) -> int:
            value = nested
            for i in index:
                value = value[i]
            return int(value)

        return {label: get(index) for label, index in self.labels.items()}

    def slack(self) -> list[int]:
        used = torch.zeros(len(self.buffer), dtype=torch.bool)
        size, start = self.tensor.element_size(), self.tensor.data_ptr() - self.buffer.data_ptr()
        for index in self.labels.values():
            at = start + size * sum(i * s for i, s in zip(index, self.tensor.stride(), strict=True))
            used[at : at + size] = True
        return self.buffer[~used].tolist()  # type: ignore[no-any-return]


def build(
    layout: str,
    sizes: Sizes,
    dtype: torch.dtype,
    *,
    pad: int = 0,
    offset: int = 0,
    generator: torch.Generator | None = None,
) -> Labelled:
    """A cache of random bits in ``layout`` (axes, or several joined by ``;``).

    ``pad`` elements lie between the steps of the axis B or T; every tensor starts ``offset``
    elements after its guard.
    """
    parts: list[Part] = []
    caches = []
    planes = layout.split(";")
    for plane, text in enumerate(planes):
        left, _, right = text.rpartition("|")
        outer, inner = left.split(), right.split()
        fixed = {"K": plane} if len(planes) > 1 else {}

        def nest(
            axes: list[str],
            at: dict[str, int],
            inner: list[str] = inner,
        ) -> Any:
            if not axes:
                part = _part(inner, at, sizes, dtype, pad, offset, generator)
                parts.append(part)
                return part.tensor
            n = sizes.extent(axes[0], False)
            return [nest(axes[1:], {**at, axes[0]: i}) for i in range(n)]

        flat = "T" in inner
        tensors = nest(outer, fixed)
        caches.append(KVCache(tensors, text, block_size=sizes.block_size if flat else None))
    cache = caches[0] if len(caches) == 1 else KVCache.join(*caches)
    return Labelled(cache, parts)


def _part(
    axes: list[str],
    fixed: dict[str, int],
    sizes: Sizes,
    dtype: torch.dtype,
    pad: int,
    offset: int,
    generator: torch.Generator | None,
) -> Part:
    shape = [sizes.extent(a, "H" not in axes) for a in axes]
    strides = [0] * len(axes)
    step = 1
    for i in reversed(range(len(axes))):
        strides[i] = step
        if axes[i] in ("B", "T"):
            strides[i] += pad
        step = strides[i] * shape[i]
    length = GUARD * 2 + (offset + step) * dtype.itemsize
    buffer = torch.randint(0, 256, (length,), dtype=torch.uint8, generator=generator)
    flat = buffer[GUARD : length - GUARD].view(dtype)
    return Part(buffer, flat.as_strided(shape, strides, flat.storage_offset() + offset), axes,
                fixed, sizes)  # fmt: skip


def moved(source: Content, target: Content, pairs: list[tuple[int, int]]) -> Content:
    """``target`` after token ``d`` of it got token ``s`` of ``source`` for all pairs."""
    result = dict(target)
    names = {(la, p, e) for la, p, _, e in target}
    for s, d in pairs:
        if s >= 0 and d >= 0:
            for layer, plane, element in names:
                result[layer, plane, d, element] = source[layer, plane, s, element]
    return result


class Tools:
    """What the tests of this folder use."""

    Sizes = Sizes
    build = staticmethod(build)
    moved = staticmethod(moved)
    DTYPES = (
        torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn, torch.int8, torch.int64,
    )  # fmt: skip

    @staticmethod
    def kv(name: str) -> Any:
        return accel.get_backend(name).kv

    @staticmethod
    def force(name: str, streaming: bool, threads: bool) -> None:
        """Make the native engine take the paths of large transfers, whatever the size."""
        if name == "cpu":
            from accel_cpu import _native

            _native.kv.set_policy(0 if streaming else -1, 0 if threads else -1)


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture(params=["cpu-reference", "cpu"])
def backend_name(request: pytest.FixtureRequest) -> Any:
    yield request.param
    Tools.force(request.param, False, False)


@pytest.fixture
def kv(backend_name: str) -> Any:
    """The KV kernels of either backend."""
    return accel.get_backend(backend_name).kv
