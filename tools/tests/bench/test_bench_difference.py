"""The check that stands behind every KV row: it sees each wrong byte, and only those."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_tools.bench.buffers import GUARD, GuardedPair, bytes_differ, size_name
from accel_tools.bench.kv_cache import BenchCache, difference
from accel_tools.bench.shapes import SHAPES, KVShape
from accel_tools.bench.site import POISON, Site

LAYOUTS = [
    "vllm_nhd",
    "vllm_hnd",
    "contiguous",
    "sglang_page_first",
    "sglang_page_head",
    "| B L K S H D",
    "L | K B H D1 S D0",
]
SHAPE = KVShape("tiny", 2, 3, 8, block_size=4)


@pytest.fixture(scope="module")
def site():
    # The site's memory and generators need no backend but its device.
    class Host:
        device = torch.device("cpu")

    return Site(Host())


def moved(site, src_layout, dst_layout, seed):
    """Random caches with 9 tokens moved by the plainest loop."""
    src = BenchCache.make(site, "host", src_layout, SHAPE, 6).randomise(str(seed))
    dst = BenchCache.make(site, "host", dst_layout, SHAPE, 5)
    dst.poison()
    generator = torch.Generator().manual_seed(seed)
    a = torch.randperm(24, generator=generator)[:9]
    b = torch.randperm(20, generator=generator)[:9]
    for layer in range(2):
        for plane in range(2):
            out_of, into = src.cache.view(layer, plane), dst.cache.view(layer, plane)
            for i, j in zip(a.tolist(), b.tolist(), strict=True):
                for head in range(3):
                    into[j // 4, j % 4, head] = out_of[i // 4, i % 4, head].reshape(into.shape[3:])
    return src, dst, a, b


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_wrong_byte_anywhere_is_seen(site, data):
    layouts = data.draw(st.sampled_from(LAYOUTS)), data.draw(st.sampled_from(LAYOUTS))
    src, dst, a, b = moved(site, *layouts, data.draw(st.integers(0, 2**31)))
    assert difference(src.cache, dst.cache, a, b) == ""
    raw = data.draw(st.sampled_from(dst.cache.tensors)).view(-1).view(torch.uint8)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    said = difference(src.cache, dst.cache, a, b)
    assert "layer" in said
    assert "plane" in said


def flip(elements):
    """Change them, whatever they are: adding to a random bfloat16 may not."""
    elements.view(torch.int16).bitwise_xor_(1)


def test_it_says_which_slot(site):
    src, dst, a, b = moved(site, "vllm_nhd", "vllm_nhd", 5)
    flip(dst.cache.view(1, 0)[int(b[4]) // 4, int(b[4]) % 4, 2, 7:])
    said = difference(src.cache, dst.cache, a, b)
    assert said == f"layer 1 plane 0: slot {int(b[4])} does not hold slot {int(a[4])} of the source"
    other = next(s for s in range(20) if s not in b.tolist())
    src, dst, a, b = moved(site, "vllm_nhd", "vllm_nhd", 5)
    flip(dst.cache.view(0, 1)[other // 4, other % 4, 1, :1])
    assert difference(src.cache, dst.cache, a, b) == (
        f"layer 0 plane 1: slot {other} was written and must not be"
    )


def test_what_was_there_before_must_stay(site):
    bench = BenchCache.make(site, "host", "vllm_hnd", SHAPE, 4).randomise("x")
    before = bench.snapshot()
    none = torch.empty(0, dtype=torch.int64)
    assert difference(before, bench.cache, none, none, before) == ""
    assert "was written" in difference(before, bench.cache, none, none)
    flip(bench.cache.view(1, 1)[3, 3, 2, 7:])
    assert "slot 15 was written" in difference(before, bench.cache, none, none, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_bytes_reach_every_byte_and_poison_too(site, layout):
    bench = BenchCache.make(site, "host", layout, SHAPE, 4)
    raw = torch.cat([t.view(-1).view(torch.uint8) for t in bench.cache.tensors])
    assert len(raw) == 4 * 4 * SHAPE.token_bytes
    bench.poison()
    assert all((t.view(-1).view(torch.uint8) == POISON).all() for t in bench.cache.tensors)
    bench.randomise("a")
    first = torch.cat([t.view(-1).view(torch.uint8) for t in bench.cache.tensors])
    # Every bit of a byte, also those that a narrower generator leaves at zero.
    for lane in range(8):
        part = first[lane::8]
        assert all(0.3 < ((part >> bit) & 1).double().mean() < 0.7 for bit in range(8))
    bench.randomise("a")
    again = torch.cat([t.view(-1).view(torch.uint8) for t in bench.cache.tensors])
    assert torch.equal(first, again), "the same data for the same seed"


def test_odd_sizes_and_addresses_are_filled(site):
    buffer = torch.full((41,), POISON, dtype=torch.uint8)
    site.randomise(buffer[3:40], site.generator("odd"))
    assert buffer[0] == buffer[1] == buffer[2] == buffer[40] == POISON
    assert len(set(buffer[3:40].tolist())) > 10


def test_guards_are_checked(site):
    pair = GuardedPair.make(site, "host", "host", 100, "g")
    pair.reset()
    assert "byte 0 is" in pair.check()
    pair.dst.copy_(pair.src)
    assert pair.check() == ""
    pair.whole[GUARD + 100] = 0
    assert pair.check() == f"byte 100 is 0, must be {POISON}"
    pair.reset()
    pair.dst.copy_(pair.src)
    pair.whole[GUARD - 1] = 7
    assert pair.check() == f"byte -1 is 7, must be {POISON}"


def test_bytes_differ_names_the_first():
    assert bytes_differ(torch.arange(9), torch.arange(9)) == ""
    assert (
        bytes_differ(torch.tensor([1, 2, 4]), torch.tensor([1, 3, 5])) == "byte 1 is 2, must be 3"
    )


@pytest.mark.parametrize(
    ("nbytes", "name"),
    [(64, "64 B"), (4096, "4 KiB"), (1536, "1536 B"), (3 << 20, "3 MiB"), (1 << 30, "1 GiB")],
)
def test_size_names(nbytes, name):
    assert size_name(nbytes) == name


@pytest.mark.parametrize(
    ("name", "token_bytes"),
    [
        ("cpu-16x8x128", 65536),
        ("llama-3-8b", 131072),
        ("llama-3-70b-tp8", 40960),
        ("qwen2.5-7b", 57344),
        ("deepseek-v3-mla", 70272),
    ],
)
def test_shapes_have_the_bytes_of_their_models(name, token_bytes):
    # Worked out by hand: layers x planes x heads x head dim x 2 bytes.
    assert SHAPES[name].token_bytes == token_bytes
    assert SHAPES[name].name == name
    assert SHAPES[name].block_size == 16


def test_every_named_shape_is_tested():
    assert len(SHAPES) == 5
