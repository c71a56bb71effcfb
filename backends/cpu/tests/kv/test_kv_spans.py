"""Addresses further apart than 31 bits, on memory of which only the touched pages exist."""

import mmap
import resource

import pytest
import torch

from accel.kv import KVCache


def sparse(nbytes):
    """A uint8 tensor over untouched anonymous memory; nothing is reserved."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    return torch.frombuffer(mmap.mmap(-1, nbytes, flags=flags), dtype=torch.uint8)


def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("grain", ["token", "block"])
def test_more_than_two_gigabytes_within_one_tensor(kv, grain):
    blocks, size = 9, 4
    row = 2 * size * 2 * 8  # K, S, H, D of one block
    apart = 600 * 2**20  # 5 GiB in all: beyond unsigned 32 bits too
    memory = sparse(apart * (blocks - 1) + row)
    pages = KVCache(
        [memory.as_strided((blocks, 2, size, 2, 8), (apart, row // 2, 16, 8, 1))],
        "L | B K S H D",
    )
    small = KVCache.allocate(
        "contiguous", layers=1, blocks=3, block_size=size, heads=2, head_dim=8, dtype=torch.uint8
    )
    before = resident()
    if grain == "block":
        there, here = torch.tensor([8, 0, 5]), torch.tensor([0, 2, 1])
        there_slots = [b * 4 + i for b in (8, 0, 5) for i in range(4)]
        here_slots = [b * 4 + i for b in (0, 2, 1) for i in range(4)]
    else:
        there_slots, here_slots = [35, 0, 16, 33], [0, 11, 3, 7]
        there, here = torch.tensor(there_slots), torch.tensor(here_slots)
    for tensor in small.tensors:
        tensor.random_(0, 256, generator=torch.Generator().manual_seed(5))
    sent = small.tensors[0].clone()
    kv.transfer(small, pages, here, there, grain=grain)
    for h, t in zip(here_slots, there_slots, strict=True):
        for plane in range(2):
            start = t // 4 * apart + plane * row // 2 + t % 4 * 16
            assert torch.equal(memory[start : start + 16], sent[plane, 0, h].flatten())
    small.tensors[0].zero_()
    kv.transfer(pages, small, there, here, grain=grain)
    for h in here_slots:
        assert torch.equal(small.tensors[0][:, :, h], sent[:, :, h])
    assert resident() - before < 256 * 2**20


def test_layers_gigabytes_apart(kv):
    """One allocation, page-first: a small stride between tokens, a large one between planes."""
    apart = 3 * 2**30
    memory = sparse(2 * apart)
    far = KVCache(memory.as_strided((2, 2, 4, 2, 8), (apart, 64, 16, 8, 1)), "| K L T H D")
    near = KVCache.allocate(
        "sglang_page_first", layers=2, blocks=4, block_size=1, heads=2, head_dim=8,
        dtype=torch.uint8,
    )  # fmt: skip
    for tensor in near.tensors:
        tensor.random_(0, 256)
    kv.transfer(near, far, torch.arange(4), torch.tensor([2, 0, 3, 1]))
    for plane in range(2):
        for layer in range(2):
            for s, d in enumerate([2, 0, 3, 1]):
                start = plane * apart + layer * 64 + d * 16
                assert torch.equal(
                    memory[start : start + 16], near.tensors[plane][s, layer].flatten()
                )
    rows = torch.arange(32, dtype=torch.uint8).view(2, 16)
    kv.write(far, 1, rows, rows + 100, torch.tensor([3, 0]))
    assert torch.equal(memory[apart + 64 + 48 : apart + 64 + 64], rows[0] + 100)
    assert torch.equal(memory[64 : 64 + 16], rows[1])
