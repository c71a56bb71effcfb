"""The ``kv`` fixture: makes labelled caches where a case wants them, calls, and compares.

A case module says ``kv = kv_work`` once and asks for ``kv``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
import torch

from accel import Backend, Capability, DeviceError
from accel.kv import KVCache

from .byte_compare import assert_same_bytes, bytes_of, random_bytes
from .guards import Memory
from .kv_expected import Expectation, blocks_to_tokens
from .kv_inputs import FORMS, Form, LabelledCache, Place, build

if TYPE_CHECKING:
    from accel.kv.plan import Grain
    from accel.providers import Stream

    from .kv_shapes import KVShape

__all__ = ["KVWork", "Pairs", "expect_write", "kv_work"]

#: (source, destination) units; a negative side is padding.
Pairs = list[tuple[int, int]]


class KVWork:
    """One case's caches and calls."""

    def __init__(self, backend: Backend, rng: torch.Generator) -> None:
        self.backend = backend
        self.rng = rng

    def place(self, memory: Memory) -> Place:
        """The allocator of some memory.

        ``host`` is pageable where KV calls move that. They need not on a device with memory of its
        own: there it is then the pinned pool's (``test_pageable`` looks at how it is refused).
        """
        device = self.backend.device
        if memory == "host" and not _moves_pageable(self.backend):
            memory = "pinned"

        def allocate(n: int) -> torch.Tensor:
            if memory == "pinned":
                return self.backend.pinned.empty(n, torch.uint8)
            return torch.empty(n, dtype=torch.uint8, device=device if memory == "device" else "cpu")

        return allocate

    def make(
        self,
        layout: str,
        shape: KVShape,
        dtype: torch.dtype = torch.bfloat16,
        *,
        memory: Memory = "device",
        form: Form = FORMS[0],
        separate: bool = False,
    ) -> LabelledCache:
        """A cache full of random bytes; see :func:`accel_conformance.kv_inputs.build`."""
        return build(
            layout, shape, dtype, self.place(memory), self.rng, form=form, separate=separate
        )

    def settle(self) -> None:
        """Wait until the device is idle."""
        if Capability.STREAMS in self.backend.capabilities:
            self.backend.streams.synchronize()

    def indices(
        self,
        values: Sequence[int] | Sequence[tuple[int, int]],
        dtype: torch.dtype = torch.int64,
        *,
        on_device: bool = False,
    ) -> torch.Tensor:
        """An index tensor, on the host unless asked otherwise."""
        return torch.tensor(values, dtype=dtype, device=self.backend.device if on_device else "cpu")

    def pairs(self, src_units: int, dst_units: int, *, padding: bool = True) -> Pairs:
        """Random pairs: sources repeat, destinations do not, the last units are among them.

        With ``padding`` some pairs have a negative side, or two.
        """
        n = max(1, (2 * dst_units) // 3)
        dst = torch.randperm(dst_units, generator=self.rng)[:n]
        dst[dst == dst_units - 1] = dst[0].clone()
        dst[0] = dst_units - 1
        src = torch.randint(src_units, (n,), generator=self.rng)
        src[n // 2] = src_units - 1
        if padding and n > 3:  # the first and the last pair stay, so that dropping one shows
            dst[1], src[n - 2] = -1, -1
            if n > 6:
                dst[2], src[2] = -7, -(2**31)
        return list(zip(src.tolist(), dst.tolist(), strict=True))

    def call_transfer(
        self,
        src: LabelledCache,
        dst: LabelledCache,
        pairs: Pairs,
        *,
        grain: Grain = "token",
        stream: Stream | None = None,
        dtype: torch.dtype = torch.int64,
        on_device: bool = False,
    ) -> None:
        """``transfer``, with index tensors made for the call."""
        self.backend.kv.transfer(
            src.cache,
            dst.cache,
            self.indices([s for s, _ in pairs], dtype, on_device=on_device),
            self.indices([d for _, d in pairs], dtype, on_device=on_device),
            grain=grain,
            stream=stream,
        )

    def transfer(
        self,
        src: LabelledCache,
        dst: LabelledCache,
        pairs: Pairs | None = None,
        *,
        grain: Grain = "token",
        block_size: int = 1,
        dtype: torch.dtype = torch.int64,
        on_device: bool = False,
    ) -> None:
        """Transfer random (or the given) pairs and compare every byte of both caches.

        Args:
            block_size: tokens of a block, at block grain.
        """
        unit = block_size if grain == "block" else 1
        if pairs is None:
            pairs = self.pairs(src.slots // unit, dst.slots // unit)
        expected = Expectation(src, dst)
        expected.move(src, dst, blocks_to_tokens(pairs, unit))
        self.call_transfer(src, dst, pairs, grain=grain, dtype=dtype, on_device=on_device)
        self.settle()
        expected.check()

    def rows(
        self, tokens: int, extents: tuple[int, ...], dtype: torch.dtype, form: str = "plain"
    ) -> torch.Tensor:
        """Random new keys or values ``[tokens, *extents]`` on the device.

        Args:
            form: how they lie in memory: ``plain``, ``fused`` (a slice of a wider row, as of QKV),
                ``heads-first`` (the first two axes swapped in memory), ``stepped`` (every second
                element), ``offset``, or ``broadcast`` (one token's memory for all).
        """
        shape = (tokens, *extents)
        wider = {
            "fused": (tokens, 3 * extents[0], *extents[1:]),
            "heads-first": (extents[0], tokens, *extents[1:]),
            "stepped": (*shape[:-1], 2 * shape[-1]),
            "offset": (tokens + 1, *extents),
            "broadcast": (1, *extents),
        }.get(form, shape)
        whole = random_bytes(wider, dtype, self.rng).to(self.backend.device)
        if form == "fused":
            return whole[:, extents[0] : 2 * extents[0]]
        if form == "heads-first":
            return whole.transpose(0, 1)
        if form == "stepped":
            return whole[..., ::2]
        if form == "offset":
            return whole[1:]
        return whole.expand(shape) if form == "broadcast" else whole

    def write(
        self,
        cache: LabelledCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slots: Sequence[int],
        *,
        dtype: torch.dtype = torch.int64,
        on_device: bool = False,
    ) -> None:
        """``write``, and compare every byte of the cache, the key and the value."""
        expected = Expectation(cache)
        expect_write(expected, cache, layer, key, value, slots)
        before = [bytes_of(t) for t in (key, value) if t is not None]
        mapping = self.indices(slots, dtype, on_device=on_device)
        self.backend.kv.write(cache.cache, layer, key, value, mapping)
        self.settle()
        expected.check()
        for t, old in zip([t for t in (key, value) if t is not None], before, strict=True):
            assert_same_bytes(t, old, "key or value after the call")


@functools.cache
def _moves_pageable(backend: Backend) -> bool:
    """Whether a transfer takes a cache in pageable host memory."""
    needed = (Capability.PINNED, Capability.KV_TRANSFER)
    if backend.device.type == "cpu" or any(c not in backend.capabilities for c in needed):
        return True
    src, dst = (
        KVCache(torch.zeros(1, 2, 1, 1, 1, 16, dtype=torch.uint8, device=where), "| L K B S H D")
        for where in ("cpu", backend.device)
    )
    try:
        backend.kv.transfer(src, dst, torch.tensor([0]), torch.tensor([0]))
    except DeviceError:
        return False
    backend.streams.synchronize()
    return True


def expect_write(
    expected: Expectation,
    cache: LabelledCache,
    layer: int,
    key: torch.Tensor,
    value: torch.Tensor | None,
    slots: Sequence[int],
) -> None:
    """Tell ``expected`` what ``write`` means: two planes, one plane, or one plane in two parts."""
    rows = [t.cpu().flatten(1) for t in (key, value) if t is not None]
    if len(rows) == len(cache.planes):
        for plane, data in enumerate(rows):
            expected.put(cache, plane, layer, slots, data)
        return
    assert value is not None
    widths = [key.shape[-1], value.shape[-1]]
    element = torch.arange(cache.planes[0].index.shape[2])
    inside = element % sum(widths) < widths[0]
    expected.put(cache, 0, layer, slots, rows[0], inside)
    expected.put(cache, 0, layer, slots, rows[1], ~inside)


@pytest.fixture
def kv_work(backend: Backend, rng: torch.Generator) -> KVWork:
    """This case's caches and calls."""
    return KVWork(backend, rng)
