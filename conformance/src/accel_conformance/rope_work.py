"""The ``rope`` fixture: keys in tensors and caches of any strides, repositioned and compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from accel import Backend

from .byte_compare import random_bytes
from .kv_inputs import LabelledCache
from .kv_work import KVWork
from .one_thread import one_thread
from .rope_expected import RopeExpectation, Setting, turn

if TYPE_CHECKING:
    from accel.providers import Stream

__all__ = ["KEY_FORMS", "KeyTensor", "RopeWork", "rope_work"]

#: How ``[*tokens, heads, head_dim]`` may lie in memory: (elements before, order of the axes from
#: outermost to innermost, step of the innermost, gap after each token). Negative axes are from the
#: end; "tokens" stands for all axes before the last two.
KEY_FORMS = {
    "plain": ("tokens heads dim", 0, 1, 0),
    "offset": ("tokens heads dim", 13, 1, 0),
    "fused": ("tokens heads dim", 0, 1, 40),
    "heads-first": ("heads tokens dim", 0, 1, 0),
    "stepped": ("tokens heads dim", 0, 2, 0),
    "channels-first": ("heads dim tokens", 3, 1, 0),
    "channels-outermost": ("dim tokens heads", 0, 1, 0),
    "stepped-by-three": ("tokens heads dim", 5, 3, 7),
}
_GUARD = 64


@dataclass(eq=False)
class KeyTensor:
    """Keys, the allocation around them, and where in it each channel lies."""

    keys: torch.Tensor
    raw: torch.Tensor  #: flat uint8, guard bands included
    index: torch.Tensor  #: ``[n, heads, head_dim]``, in elements of ``raw``

    @property
    def tokens(self) -> tuple[int, ...]:
        """The shape of positions."""
        return tuple(self.keys.shape[:-2])


class RopeWork:
    """One case's keys and calls."""

    def __init__(self, backend: Backend, rng: torch.Generator) -> None:
        self.backend = backend
        self.rng = rng
        self.kv = KVWork(backend, rng)

    def tensor(
        self,
        tokens: Sequence[int],
        heads: int,
        head_dim: int,
        dtype: torch.dtype,
        form: str = "plain",
    ) -> KeyTensor:
        """Keys of random bytes, in an allocation of random bytes."""
        axes, lead, step, gap = KEY_FORMS[form]
        extents = {"tokens": list(tokens), "heads": [heads], "dim": [head_dim]}
        strides: dict[str, list[int]] = {}
        for axis in reversed(axes.split()):
            strides[axis] = []
            for extent in reversed(extents[axis]):
                if axis == "tokens":
                    step += gap
                strides[axis].insert(0, step)
                step *= extent
        shape = [*tokens, heads, head_dim]
        stride = [*strides["tokens"], *strides["heads"], *strides["dim"]]
        start = _GUARD + lead
        index = torch.tensor(start)
        for n, s in zip(shape, stride, strict=True):
            index = index.unsqueeze(-1) + torch.arange(n) * s
        elements = start + max(step, 1) + _GUARD
        noise = random_bytes((elements * dtype.itemsize,), torch.uint8, self.rng)
        raw = noise.to(self.backend.device)
        keys = raw.view(dtype).as_strided(shape, stride, start)
        return KeyTensor(keys, raw, index.reshape(math.prod(tokens), heads, head_dim))

    def positions(self, n: Sequence[int], end: int = 4096) -> torch.Tensor:
        """Random positions below ``end``, on the host."""
        return torch.randint(end, tuple(n), generator=self.rng)

    def key_index(self, cache: LabelledCache, heads: int) -> torch.Tensor:
        """``[layers, slots, heads, head_dim]`` of plane 0."""
        index = cache.planes[0].index
        return index.view(*index.shape[:-1], heads, index.shape[-1] // heads)

    @one_thread()
    def fill(
        self,
        raw: torch.Tensor,
        dtype: torch.dtype,
        index: torch.Tensor,
        positions: torch.Tensor,
        setting: Setting,
    ) -> torch.Tensor:
        """Write random keys rotated for ``positions`` to ``index``; returns them unrotated.

        Channels outside the rotation keep their random bytes.
        """
        plain = torch.randn(index.shape, generator=self.rng, dtype=torch.float64)
        # Far apart in size, so that some pairs are tiny next to others.
        plain *= torch.exp2(torch.randint(-6, 5, index.shape[:-1], generator=self.rng))[..., None]
        channels = setting.channels(index.shape[-1]).flatten()
        host = raw.cpu()
        rotated = turn(plain, setting.at(positions, index.shape[-1]), setting)
        host.view(dtype)[index[..., channels]] = rotated[..., channels].to(dtype)
        raw.copy_(host)
        return plain

    def reposition(
        self,
        keys: KeyTensor,
        setting: Setting,
        old: torch.Tensor,
        new: torch.Tensor,
        *,
        fill: bool = True,
        on_device: bool = False,
    ) -> None:
        """Rotate, reposition and compare every byte.

        Args:
            fill: keys rotated from scratch; otherwise what is there already.
        """
        dtype, head_dim = keys.keys.dtype, keys.index.shape[-1]
        flat_old, flat_new = old.flatten().long(), new.flatten().long()
        scratch = None
        if fill:
            scratch = self.fill(keys.raw, dtype, keys.index, flat_old, setting)
        expected = RopeExpectation([keys.raw])
        expected.turned(keys.raw, dtype, keys.index, flat_old, flat_new, setting, scratch)
        device = self.backend.device
        there = device if on_device else torch.device("cpu")
        a, b = old.to(there), new.to(there)
        before = a.clone(), b.clone()
        rope = setting.rope(head_dim, device)
        table = None if rope.cos_sin_cache is None else rope.cos_sin_cache.clone()
        self.backend.kv.rope_reposition(keys.keys, a, b, rope)
        self.kv.settle()
        expected.check()
        assert torch.equal(a, before[0]), "the old positions were written"
        assert torch.equal(b, before[1]), "the new positions were written"
        if table is not None and rope.cos_sin_cache is not None:
            assert torch.equal(table, rope.cos_sin_cache), "the cos_sin_cache was written"

    def prepare_cache(
        self,
        cache: LabelledCache,
        heads: int,
        setting: Setting,
        slots: Sequence[int],
        old: torch.Tensor,
        new: torch.Tensor,
        layer: int | None = None,
    ) -> RopeExpectation:
        """Keys for ``old`` in these slots of every layer, and what must become of them."""
        index, dtype = self.key_index(cache, heads), cache.cache.dtype
        kept = torch.tensor([s >= 0 for s in slots], dtype=torch.bool)
        at = torch.tensor(slots, dtype=torch.int64)[kept]
        arenas = cache.planes[0].arena
        scratch = [
            self.fill(arena.raw, dtype, index[i, at], old[kept], setting)
            for i, arena in enumerate(arenas)
        ]
        expected = RopeExpectation([a.raw for a in cache.arenas])
        for i, arena in enumerate(arenas):
            if layer is None or i == layer:
                expected.turned(
                    arena.raw, dtype, index[i, at], old[kept], new[kept], setting, scratch[i]
                )
        return expected

    def reposition_cache(
        self,
        cache: LabelledCache,
        heads: int,
        setting: Setting,
        slots: Sequence[int] | None = None,
        *,
        layer: int | None = None,
        dtype: torch.dtype = torch.int64,
        on_device: bool = False,
        stream: Stream | None = None,
    ) -> None:
        """Reposition some tokens of a cache and compare every byte of it.

        Args:
            slots: about half of them in random order if None, the last one and padding among them.
        """
        if slots is None:
            slots = self.some_slots(cache.slots)
        old, new = (self.positions((len(slots),)) for _ in range(2))
        if len(slots) > 4:
            new[4] = old[4]
        expected = self.prepare_cache(cache, heads, setting, slots, old, new, layer)
        for i, slot in enumerate(slots):
            if slot < 0:  # nobody may look at the positions of padding
                old[i], new[i] = -7, 2**31 - 1
        head_dim = cache.planes[0].index.shape[-1] // heads
        rope = setting.rope(head_dim, self.backend.device)
        where = self.backend.device if on_device else torch.device("cpu")
        self.backend.kv.rope_reposition(
            cache.cache,
            old.to(dtype).to(where),
            new.to(dtype).to(where),
            rope,
            slots=self.kv.indices(list(slots), dtype, on_device=on_device),
            layer=layer,
            stream=stream,
        )
        self.kv.settle()
        expected.check()

    def some_slots(self, count: int) -> list[int]:
        """About half of ``count`` slots in random order, with the last one, and padding."""
        slots = torch.randperm(count, generator=self.rng)[: max(1, count // 2)].tolist()
        if count - 1 not in slots:
            slots[0] = count - 1
        if len(slots) > 3:
            slots[2] = -1
        return [int(s) for s in slots]


@pytest.fixture
def rope_work(backend: Backend, rng: torch.Generator) -> RopeWork:
    """This case's keys and calls."""
    return RopeWork(backend, rng)
