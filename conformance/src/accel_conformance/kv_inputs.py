"""KV caches whose every byte is accounted for.

A :class:`LabelledCache` knows, from its layout's letters alone, at which element of which
allocation each (layer, plane, token, element) lies. Expectations are made by indexing with that
map, and whole allocations are compared: padding, guard bands and neighbours included. Nothing here
uses accel's own address arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from accel.kv import PRESETS, KVCache

from .kv_shapes import KVShape
from .one_thread import one_thread

__all__ = [
    "FORMS",
    "INT_VIEWS",
    "Arena",
    "Form",
    "LabelledCache",
    "Place",
    "PlaneMap",
    "build",
    "distinct_layouts",
    "join",
]

#: Allocates ``n`` bytes as a flat uint8 tensor where the cache shall live.
Place = Callable[[int], torch.Tensor]

#: Integers of each size: how payload is compared, so that NaN equals itself.
INT_VIEWS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Form:
    """How a tensor lies in memory, for the same shape.

    Attributes:
        lead: elements before the tensor in its allocation (an offset view).
        block_gap: extra elements after each block (or token, for flat layouts).
        step: distance of neighbouring elements of the innermost axis.
        reverse: the axes lie in memory in the opposite order (a view transposed by strides).
    """

    name: str
    lead: int = 0
    block_gap: int = 0
    step: int = 1
    reverse: bool = False


FORMS = (
    Form("plain"),
    Form("offset", lead=17),
    Form("padded-blocks", block_gap=24),
    Form("strided", step=2),
    Form("transposed", reverse=True),
    Form("padded-strided-offset", lead=3, block_gap=5, step=3),
)


@dataclass(eq=False)
class Arena:
    """One allocation: a flat uint8 tensor, guard bands included."""

    raw: torch.Tensor

    def image(self) -> torch.Tensor:
        """Its bytes now, on the host; synchronise first."""
        return self.raw.cpu().clone()


@dataclass(frozen=True, eq=False)
class PlaneMap:
    """Where one plane lies: ``index[layer, token, element]`` counts ``itemsize`` units."""

    arena: tuple[Arena, ...]  #: one for each layer
    itemsize: int
    index: torch.Tensor


@dataclass(eq=False)
class LabelledCache:
    """A KVCache together with the map of its bytes."""

    cache: KVCache
    planes: tuple[PlaneMap, ...]
    arenas: tuple[Arena, ...]

    @property
    def slots(self) -> int:
        """Tokens that fit."""
        return int(self.planes[0].index.shape[1])

    def select_layers(self, layers: Sequence[int]) -> LabelledCache:
        """``KVCache.select_layers``."""
        planes = tuple(
            PlaneMap(tuple(p.arena[i] for i in layers), p.itemsize, p.index[list(layers)])
            for p in self.planes
        )
        return LabelledCache(self.cache.select_layers(layers), planes, self.arenas)


def distinct_layouts(planes: int) -> dict[str, str]:
    """Preset name -> letters of presets that differ, with (2) or without (1) a K axis."""
    out: dict[str, str] = {}
    for name, text in PRESETS.items():
        if ("K" in text) == (planes == 2) and text not in out.values():
            out[name] = text
    return out


def _noise(n: int, rng: torch.Generator) -> torch.Tensor:
    """``n`` random bytes on the host: every bit pattern, NaNs among them; made by the word."""
    words = torch.randint(-(2**63), 2**63 - 1, (-(-n // 8),), dtype=torch.int64, generator=rng)
    return words.view(torch.uint8)[:n]


@one_thread()
def build(
    layout: str,
    shape: KVShape,
    dtype: torch.dtype,
    place: Place,
    rng: torch.Generator,
    *,
    form: Form = FORMS[0],
    separate: bool = False,
    guard: int = 64,
) -> LabelledCache:
    """A cache of ``shape`` in ``layout``, all of its memory filled with random bytes.

    Args:
        layout: letters or a preset's name.
        form: how each tensor lies in its allocation.
        separate: one allocation for each tensor, as engines make them; otherwise all tensors are
            views into one, with guard bands of uneven widths between them.
        guard: elements before and after each tensor.
    """
    left, _, right = PRESETS.get(layout, layout).rpartition("|")
    outer, inner = left.split(), right.split()
    sizes = _sizes(shape, inner, dtype)
    extents = [sizes[a] for a in inner]
    strides = _strides(inner, extents, form)
    span = 1 + sum((n - 1) * s for n, s in zip(extents, strides, strict=True)) + form.block_gap
    span = max(span, 0)  # no blocks at all

    offsets: dict[tuple[int, ...], int] = {}
    arenas: dict[tuple[int, ...], Arena] = {}
    at = guard + form.lead
    keys = list(itertools.product(*(range(sizes[a]) for a in outer)))
    for i, key in enumerate(keys):
        if separate:
            offsets[key] = guard + form.lead
            arenas[key] = _arena(offsets[key] + span + guard, dtype, place, rng)
        else:
            offsets[key] = at
            at += span + guard + 3 * (i % 5)
    if not separate:
        one = _arena(at + guard, dtype, place, rng)
        arenas = dict.fromkeys(keys, one)

    def nest(axes: Sequence[str], key: tuple[int, ...]) -> Any:
        if axes:
            return [nest(axes[1:], (*key, i)) for i in range(sizes[axes[0]])]
        return arenas[key].raw.view(dtype).as_strided(extents, strides, offsets[key])

    block_size = None if "B" in inner else shape.block_size
    cache = KVCache(nest(outer, ()), layout, block_size=block_size)
    planes = []
    within = _within_tensor(inner, strides, sizes, shape.block_size)
    for plane in range(shape.planes if "K" in inner or "K" in outer else 1):
        rows, owners = [], []
        for layer in range(shape.layers):
            at_axis = {"L": layer, "K": plane}
            key = tuple(at_axis[a] for a in outer)
            inside = sum(at_axis[a] * strides[inner.index(a)] for a in ("L", "K") if a in inner)
            rows.append(within + offsets[key] + inside)
            owners.append(arenas[key])
        planes.append(PlaneMap(tuple(owners), dtype.itemsize, torch.stack(rows)))
    return LabelledCache(cache, tuple(planes), tuple(dict.fromkeys(arenas.values())))


def join(*parts: LabelledCache) -> LabelledCache:
    """``KVCache.join`` of labelled caches."""
    return LabelledCache(
        KVCache.join(*(p.cache for p in parts)),
        tuple(plane for p in parts for plane in p.planes),
        tuple(dict.fromkeys(a for p in parts for a in p.arenas)),
    )


def _sizes(shape: KVShape, inner: Sequence[str], dtype: torch.dtype) -> dict[str, int]:
    heads, dim = (shape.heads, shape.head_dim) if "H" in inner else (1, shape.hidden)
    d0 = max(d for d in range(1, max(1, 16 // dtype.itemsize) + 1) if dim % d == 0)
    return {
        "L": shape.layers, "K": shape.planes, "B": shape.blocks, "S": shape.block_size,
        "T": shape.slots, "H": heads, "D": dim, "D1": dim // d0, "D0": d0, "1": 1,
    }  # fmt: skip


def _strides(inner: Sequence[str], extents: Sequence[int], form: Form) -> list[int]:
    """Element strides of each axis for the wanted form."""
    strides, step = [0] * len(inner), form.step
    order = range(len(inner)) if form.reverse else range(len(inner) - 1, -1, -1)
    for axis in order:
        if inner[axis] in ("B", "T"):
            step += form.block_gap
        strides[axis] = step
        step *= extents[axis]
    return strides


def _within_tensor(
    inner: Sequence[str], strides: Sequence[int], sizes: dict[str, int], block_size: int
) -> torch.Tensor:
    """``[token, element]`` offsets inside one tensor, the L and K axes aside."""
    stride = dict(zip(inner, strides, strict=True))
    token = torch.arange(sizes["T"])
    if "T" in stride:
        rows = token * stride["T"]
    else:
        rows = token // block_size * stride["B"] + token % block_size * stride["S"]
    heads = torch.arange(sizes["H"]) * stride.get("H", 0)
    if "D" in stride:
        columns = torch.arange(sizes["D"]) * stride["D"]
    else:
        d = torch.arange(sizes["D1"] * sizes["D0"])
        columns = d // sizes["D0"] * stride["D1"] + d % sizes["D0"] * stride["D0"]
    return rows[:, None] + (heads[:, None] + columns[None, :]).flatten()[None, :]


def _arena(elements: int, dtype: torch.dtype, place: Place, rng: torch.Generator) -> Arena:
    n = elements * dtype.itemsize
    raw = place(n)
    raw.copy_(_noise(n, rng))
    return Arena(raw)
