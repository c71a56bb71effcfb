"""Every named layout, moved on both backends and compared element by element with its letters."""

import random

import pytest
import torch

from accel.kv import PRESETS, KVCache, dsa_indexer

SEED = 20240607

TWO_PLANES = [n for n, axes in PRESETS.items() if "K" in axes.split()]
ONE_PLANE = [n for n, axes in PRESETS.items() if "K" not in axes.split()]
PAGED_PAIR = f"{PRESETS['vllm_paged_key']} ; {PRESETS['vllm_paged_value']}"


@pytest.fixture
def generator():
    print(f"seed {SEED}")
    return torch.Generator().manual_seed(SEED)


def both_ways(tools, kv, layout, other, sizes, dtype, generator, **strides):
    """Token and block grain, to the other layout and back."""
    rng = random.Random(SEED)
    a = tools.build(layout, sizes, dtype, generator=generator, **strides)
    b = tools.build(other, sizes, dtype, generator=generator)
    for source, target in ((a, b), (b, a)):
        for grain, units, width in (
            ("token", sizes.tokens, 1),
            ("block", sizes.blocks, sizes.block_size),
        ):
            src = [rng.randrange(-1, units) for _ in range(units)]
            dst = rng.sample(range(units), units)
            before, slack = target.read(), target.slack()
            kv.transfer(
                source.cache, target.cache, torch.tensor(src), torch.tensor(dst), grain=grain
            )
            pairs = [
                (s * width + i, d * width + i)
                for s, d in zip(src, dst, strict=True)
                if s >= 0
                for i in range(width)
            ]
            assert target.read() == tools.moved(source.read(), before, pairs)
            assert target.slack() == slack


@pytest.mark.parametrize("layout", [*TWO_PLANES, "paged pair"])
def test_two_planes_to_and_from_plain_pages(tools, kv, layout, generator):
    layout = PAGED_PAIR if layout == "paged pair" else PRESETS[layout]
    both_ways(tools, kv, layout, "L | K B S H D", tools.Sizes(), torch.bfloat16, generator)


@pytest.mark.parametrize("layout", ONE_PLANE)
def test_one_plane_to_and_from_plain_pages(tools, kv, layout, generator):
    both_ways(tools, kv, PRESETS[layout], "L | B S H D", tools.Sizes(), torch.float16, generator)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("layout", [*TWO_PLANES, "paged pair"])
def test_large_transfer_paths_on_every_layout(tools, layout, streaming, generator):
    """The same as above with heads long enough for whole lines, on threads and past the caches."""
    layout = PAGED_PAIR if layout == "paged pair" else PRESETS[layout]
    sizes = tools.Sizes(blocks=2, block_size=16, heads=2, head_dim=32, split=8)
    tools.force("cpu", streaming, True)
    try:
        both_ways(tools, tools.kv("cpu"), layout, "| K L T H D", sizes, torch.bfloat16, generator)
    finally:
        tools.force("cpu", False, False)


def test_every_lmcache_format_is_named():
    formats = [
        "NB_NL_TWO_BS_NH_HS",
        "NL_X_TWO_NB_BS_NH_HS",
        "NL_X_NB_TWO_BS_NH_HS",
        "NL_X_NB_BS_HS",
        "TWO_X_NL_X_NBBS_NH_HS",
        "NL_X_NBBS_ONE_HS",
        "NL_X_TWO_NB_NH_BS_HS",
        "NL_X_NB_TWO_NH_BS_HS",
        "NB_NL_TWO_NH_BS_HS",
        "TWO_X_NL_X_NB_BS_NH_HS",
        "NL_X_NB_NH_BS_TWO_HS",
        "NL_X_NB_BS_NH_TWO_HS",
        "NL_X_NB_NH_BS_CS",
        "NL_X_NB_BS_NH_CS",
        "NL_X_TWO_NB_NH_ONE_BS_HS",
        "NL_X_TWO_X_NB_BS_NH_HS",
        "NL_X_NP_X_NB_BS_ONE_HS",
        "NL_X_NB_BS_NH_HS",
    ]
    # 19 formats; number 14, NL_X_NB_BSV_BSS, is dsa_indexer().
    assert len(formats) == 18
    assert set(formats) <= set(PRESETS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float8_e4m3fn])
def test_dsa_indexer_pages(kv, dtype):
    """Values then scales in one page: rows of 132 bytes, moved in two pieces."""
    generator = torch.Generator().manual_seed(SEED)
    block, layers = 8, 2

    def pages(blocks, padding):
        raw = torch.randint(
            0, 256, (blocks, block * 132 + padding), dtype=torch.uint8, generator=generator
        )
        return raw, raw[:, : block * 132].view(dtype)

    sources = [pages(5, 0) for _ in range(layers)]
    targets = [pages(4, 44) for _ in range(layers)]
    expected = [raw.clone() for raw, _ in targets]
    src, dst = [0, 39, 17, 3, 5], [31, 0, 9, 8, -1]
    for layer in range(layers):
        for s, d in zip(src, dst, strict=True):
            if d < 0:
                continue
            for start, size in ((0, 128), (block * 128, 4)):
                for i in range(size):
                    value = sources[layer][0][s // block, start + s % block * size + i]
                    expected[layer][d // block, start + d % block * size + i] = value
    kv.transfer(
        dsa_indexer([p for _, p in sources], block_size=block),
        dsa_indexer([p for _, p in targets], block_size=block),
        torch.tensor(src),
        torch.tensor(dst, dtype=torch.int32),
    )
    for (raw, _), want in zip(targets, expected, strict=True):
        assert torch.equal(raw, want)


def test_flat_cache_adopts_the_block_size(tools, kv):
    """A flat cache without blocks of its own moves whole blocks of the other's size."""
    pages = KVCache(
        [torch.arange(2 * 3 * 4 * 2 * 2, dtype=torch.int32).view(2, 3, 4, 2, 2)], "L | K B S H D"
    )
    flat = KVCache(torch.zeros(2, 1, 12, 2, 2, dtype=torch.int32), "| K L T H D")
    kv.transfer(pages, flat, torch.tensor([2, 0]), torch.tensor([0, 1]), grain="block")
    want = torch.zeros(2, 1, 12, 2, 2, dtype=torch.int32)
    source = pages.tensors[0]
    for plane in range(2):
        for offset in range(4):
            want[plane, 0, offset] = source[plane, 2, offset]
            want[plane, 0, 4 + offset] = source[plane, 0, offset]
    assert torch.equal(flat.tensors[0], want)
