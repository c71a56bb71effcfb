"""Caches that span more than 2^32 bytes: offsets that do not fit 32 bits, signed or not."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import Capability
from accel.kv import KVCache
from accel_conformance.case import case
from accel_conformance.kv_expected import Expectation, blocks_to_tokens
from accel_conformance.kv_inputs import Arena, LabelledCache, PlaneMap
from accel_conformance.kv_shapes import SMALL
from accel_conformance.kv_work import KVWork, kv_work

kv = kv_work

ITEM = 2
MARGIN = 256  #: elements looked at on either side of each piece
STEP = ((3 << 29) + 512) // ITEM  #: elements between pieces: 1.5 GiB and a little
PIECES = 4
SHAPE = dataclasses.replace(SMALL, blocks=PIECES)


class _SparseArena(Arena):
    """Only the neighbourhoods of the pieces are touched, and only they are compared."""

    def __init__(self, raw: torch.Tensor, size: int) -> None:
        super().__init__(raw)
        self._size = (size + 2 * MARGIN) * ITEM

    def windows(self) -> list[torch.Tensor]:
        starts = [i * STEP * ITEM for i in range(PIECES)]
        return [self.raw[s : s + self._size] for s in starts]

    def image(self) -> torch.Tensor:
        return torch.cat([w.cpu() for w in self.windows()])


def _far(kv: KVWork, axis: str) -> LabelledCache:
    """A cache whose blocks, or whose layers, lie 1.5 GiB apart.

    Skips where so much address space cannot be had.
    """
    shape = SHAPE if axis == "B" else dataclasses.replace(SMALL, layers=PIECES)
    layout = {"B": "| B L K S H D", "L": "| L K B S H D"}[axis]
    sizes = {"L": shape.layers, "K": 2, "B": shape.blocks, "S": shape.block_size}
    inner = layout.split()[1:]
    extents = [sizes.get(a, {"H": shape.heads, "D": shape.head_dim}.get(a, 0)) for a in inner]
    strides = [1] * len(inner)
    for i in range(len(inner) - 2, -1, -1):
        strides[i] = strides[i + 1] * extents[i + 1]
    size = strides[0]
    nbytes = ((PIECES - 1) * STEP + size + 2 * MARGIN) * ITEM
    try:
        raw = kv.place("device")(nbytes)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        pytest.skip(f"{nbytes / 2**30:.1f} GiB of address space cannot be had here: {reason}")
    arena = _SparseArena(raw, size)
    for window in arena.windows():
        window.copy_(torch.randint(256, (window.numel(),), dtype=torch.uint8, generator=kv.rng))
    tensor = raw.view(torch.bfloat16).as_strided(extents, [STEP, *strides[1:]], MARGIN)
    # The map counts in the image, where the pieces stand close together.
    compact = dict(zip(inner, [size + 2 * MARGIN, *strides[1:]], strict=True))
    token, element = torch.arange(shape.slots), torch.arange(shape.hidden)
    block, slot = token // shape.block_size, token % shape.block_size
    head, dim = element // shape.head_dim, element % shape.head_dim
    tokens = block * compact["B"] + slot * compact["S"]
    within = tokens[:, None] + (head * compact["H"] + dim * compact["D"])[None, :] + MARGIN
    planes = []
    for plane in range(2):
        rows = [within + layer * compact["L"] + plane * compact["K"] for layer in range(sizes["L"])]
        planes.append(PlaneMap((arena,) * sizes["L"], ITEM, torch.stack(rows)))
    return LabelledCache(KVCache(tensor, layout), tuple(planes), (arena,))


@case(level=2, needs=[Capability.KV_TRANSFER, Capability.KV_TRANSFER_BLOCKS])
@pytest.mark.parametrize("axis", ["B", "L"], ids=["blocks", "layers"])
def test_far_transfer(kv: KVWork, axis: str) -> None:
    """To and from blocks, and layers, that lie further than 32 bits apart."""
    far = _far(kv, axis)
    shape = SHAPE if axis == "B" else dataclasses.replace(SMALL, layers=PIECES)
    near = kv.make("vllm_nhd", shape)
    kv.transfer(far, near)
    kv.transfer(near, far)
    kv.transfer(far, near, grain="block", block_size=shape.block_size)
    kv.transfer(near, far, grain="block", block_size=shape.block_size)


@case(level=2, needs=[Capability.KV_COPY_BLOCKS])
def test_far_copy_blocks(kv: KVWork) -> None:
    """From the first block to the last, and back, 4.5 GiB away."""
    far = _far(kv, "B")
    for pairs in ([(0, 3), (1, 2)], [(3, 0)]):
        expected = Expectation(far)
        expected.move(far, far, blocks_to_tokens(pairs, SHAPE.block_size))
        kv.backend.kv.copy_blocks(far.cache, kv.indices(pairs))
        kv.settle()
        expected.check()


@case(level=2, needs=[Capability.KV_WRITE])
def test_far_write(kv: KVWork) -> None:
    """Into the last block, 4.5 GiB away."""
    far = _far(kv, "B")
    slots = [far.slots - 1, 0, far.slots - 2, SHAPE.block_size]
    extents = (SHAPE.heads, SHAPE.head_dim)
    key, value = (kv.rows(len(slots), extents, torch.bfloat16) for _ in range(2))
    kv.write(far, 1, key, value, slots)


@case(level=2, needs=[Capability.KV_GATHER])
def test_far_gather(kv: KVWork) -> None:
    """Out of blocks 4.5 GiB apart."""
    far = _far(kv, "B")
    flat = kv.make("contiguous", dataclasses.replace(SMALL, blocks=9, block_size=1))
    expected = Expectation(far, flat)
    size = SHAPE.block_size
    expected.move(far, flat, [(3 * size + i if i < size else i - size, i) for i in range(6)])
    table, lens = torch.tensor([[3, 0]]), torch.tensor([6])
    kv.backend.kv.gather(far.cache, flat.cache, table, lens)
    kv.settle()
    expected.check()
