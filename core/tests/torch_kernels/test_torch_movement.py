"""Transfers by torch operators: random layouts, shapes and lists against the reference."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import AccelError
from accel.kv import KVCache
from accel.torch_kernels import TorchKVKernels
from accel.torch_kernels.gather_lists import slots_of_table
from accel.torch_kernels.indices import mask_pairs
from accel.torch_kernels.movement import TorchMovement
from accel.torch_kernels.queue import DeviceQueue
from accel.torch_kernels.row_moves import flat_views, masked_move

LAYOUTS = (
    "vllm_nhd", "vllm_hnd", "flashinfer", "sglang_layer_first", "sglang_page_first",
    "sglang_page_head", "lmcache_object", "vllm_cross_layer", "L K | B H D S",
    "L | K B H D1 S D0", "| B L K H S D",
)  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> accel.Backend:
    return accel.get_backend("cpu-reference")


@pytest.fixture(scope="module")
def kernels() -> TorchKVKernels:
    """With uploads and staging as for a device, on a queue that runs everything at once."""
    backend = accel.get_backend("cpu-reference")
    return TorchKVKernels(backend, DeviceQueue(backend))


def _cache(layout: str, dice: random.Random, size: dict[str, Any]) -> KVCache:
    """A cache of random bytes, some of whose blocks lie apart."""
    made = KVCache.allocate(layout, **size)
    if dice.random() < 0.3:
        tensors = []
        for t in made.tensors:
            wide = torch.zeros(*t.shape[:-1], t.shape[-1] + 2, dtype=t.dtype)
            tensors.append(wide[..., : t.shape[-1]])
        if "|" in made.layout and made.layout.split("|")[0].split() in ([], ["L"], ["K"]):
            given = tensors if made.layout.split("|")[0].strip() else tensors[0]
            made = KVCache(given, layout)
    for t in made.tensors:
        t.copy_(torch.randint(-128, 127, t.shape).to(t.dtype))
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_transfer_matches_the_reference(
    kernels: TorchKVKernels, reference: accel.Backend, seed: int, src_name: str, dst_name: str
) -> None:
    """Any two layouts, both grains, padding, and padded strides."""
    dice = random.Random(seed)
    torch.manual_seed(seed)
    size = {
        "layers": dice.randint(1, 3), "blocks": dice.randint(1, 5), "block_size": 4,
        "heads": dice.randint(1, 3), "head_dim": dice.choice([1, 4, 8]),
        "dtype": dice.choice([torch.bfloat16, torch.float32, torch.int8]), "split": 1,
    }  # fmt: skip
    src, dst = _cache(src_name, dice, size), _cache(dst_name, dice, size)
    grain: Any = dice.choice(["token", "block"])
    units = size["blocks"] * (size["block_size"] if grain == "token" else 1)
    count = dice.randint(0, units)
    read = torch.randint(-1, units, (count,))
    write = torch.randperm(units)[:count]
    if count > 2:
        write[dice.randrange(count)] = -3
    before = [t.clone() for t in dst.tensors]
    try:
        reference.kv.transfer(src, dst, read, write, grain=grain)
    except AccelError as error:
        with pytest.raises(type(error)):
            kernels.transfer(src, dst, read, write, grain=grain)
        return
    wanted = [t.clone() for t in dst.tensors]
    for t, old in zip(dst.tensors, before, strict=True):
        t.copy_(old)
    kernels.transfer(src, dst, read, write, grain=grain)
    for t, expected in zip(dst.tensors, wanted, strict=True):
        assert torch.equal(t, expected), (seed, src.layout, dst.layout, grain)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_masked_lists_move_what_counts(
    kernels: TorchKVKernels, reference: accel.Backend, seed: int
) -> None:
    """Lists that are not read: padding and what is out of range is skipped and found."""
    dice = random.Random(seed)
    torch.manual_seed(seed)
    size = dict(layers=2, blocks=3, block_size=2, heads=2, head_dim=4, dtype=torch.int16)
    src, dst = _cache("vllm_nhd", dice, size), _cache("vllm_hnd", dice, size)
    count = dice.randint(1, 6)
    read = torch.randint(-2, 8 if dice.random() < 0.5 else 6, (count,))
    write = torch.randperm(9 if dice.random() < 0.5 else 6)[:count] - 1
    counts = (read >= 0) & (write >= 0) & (read < 6) & (write < 6)
    wrong = (read >= 0) & (write >= 0) & ~counts
    pair = TorchMovement._pair(kernels, src, dst, "token")
    before = [t.clone() for t in dst.tensors]
    found = masked_move(pair.groups, (flat_views(src), flat_views(dst)), read, write, (6, 6))
    moved = [t.clone() for t in dst.tensors]
    for t, old in zip(dst.tensors, before, strict=True):
        t.copy_(old)
    reference.kv.transfer(src, dst, read[counts], write[counts])
    for t, got in zip(dst.tensors, moved, strict=True):
        assert torch.equal(t, got), seed
    assert bool(found[0]) == bool(wrong.any())
    if wrong.any():
        at = int(wrong.nonzero()[0])
        assert found.tolist() == [1, at, int(read[at]), int(write[at])]


def test_no_pair_that_counts_leaves_everything(kernels: TorchKVKernels) -> None:
    """All padding: unit 0 is written with what it holds."""
    pairs = mask_pairs(torch.tensor([-1, 9]), torch.tensor([0, 1]), 4, 4)
    assert not pairs.any_counts
    assert pairs.src.tolist() == pairs.dst.tolist() == [0, 0]
    assert pairs.finding.tolist() == [1, 1, 9, 1]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_gather_lists_match_the_hosts(seed: int) -> None:
    """Slots of a block table made without reading it."""
    from accel.kv.slots import gather_slots

    dice = random.Random(seed)
    torch.manual_seed(seed)
    batch, width, size, blocks = dice.randint(1, 4), dice.randint(1, 4), dice.randint(1, 4), 5
    table = torch.randint(-2, blocks, (batch, width))
    starts = torch.randint(width * size, (batch,))
    lens = torch.tensor([dice.randint(0, width * size - int(s)) for s in starts])
    wanted = gather_slots(table, lens, starts, size, blocks)
    room = len(wanted) + dice.randint(0, 3)
    most = min(room, batch * width * size)
    slots, found = slots_of_table(table, lens, starts, size, blocks, room, most)
    assert found.tolist() == [0] * 5
    assert torch.equal(slots[: len(wanted)], wanted.where(wanted >= 0, -1)), seed
    assert bool((slots[len(wanted) :] == -1).all())


def test_gather_lists_find_what_is_wrong() -> None:
    """Every fault is counted under its own name, and its sequence moves nothing."""
    table = torch.tensor([[0, 1], [7, 1], [1, 1], [0, 0]])
    starts, lens = torch.tensor([-1, 0, 0, 3]), torch.tensor([1, 2, -4, 2])
    slots, found = slots_of_table(table, lens, starts, 2, 4, 8, 8)
    assert found.tolist() == [1, 1, 1, 0, 2]
    assert bool((slots == -1).all())
    _, found = slots_of_table(table[:1], lens[1:2], starts[1:2], 2, 4, 1, 1)
    assert found.tolist() == [0, 0, 0, 1, 0]


def test_few_operators_whatever_the_tokens(kernels: TorchKVKernels) -> None:
    """The number of operator calls does not grow with tokens, nor with layers of one allocation."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func.__name__.split(".")[0] in ("index_select", "index_copy_"):
                Count.calls += 1
            return func(*args, **(kwargs or {}))

    def calls(layout: str, layers: int, tokens: int) -> int:
        size = dict(
            layers=layers, blocks=tokens, block_size=1, heads=2, head_dim=4, dtype=torch.int16
        )
        src, dst = KVCache.allocate(layout, **size), KVCache.allocate(layout, **size)
        lists = torch.arange(tokens), torch.arange(tokens)
        kernels.transfer(src, dst, *lists)
        Count.calls = 0
        with Count():
            kernels.transfer(src, dst, *lists)
        return Count.calls

    assert calls("vllm_cross_layer", 8, 64) == calls("vllm_cross_layer", 2, 4) == 2
    assert calls("vllm_nhd", 8, 64) == calls("vllm_nhd", 8, 4) == 16
