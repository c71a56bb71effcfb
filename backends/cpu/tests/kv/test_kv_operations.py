"""write, copy_blocks, swap_blocks and gather against loops over the labelled elements."""

import random

import pytest
import torch

from accel.kv import KVCache

SEED = 77
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def random_bits(shape, dtype, generator):
    n = torch.Size(shape).numel() * dtype.itemsize
    return (
        torch.randint(0, 256, (n,), dtype=torch.uint8, generator=generator).view(dtype).view(shape)
    )


@pytest.fixture
def generator():
    print(f"seed {SEED}")
    return torch.Generator().manual_seed(SEED)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.int64])
@pytest.mark.parametrize(
    "layout",
    ["L | K B S H D", "L | B K H S D", "K L | T H D", "| B L K S H D", "K | B H S L D",
     "L | B H D1 S D0 ; L | B H D S", "L | B H S K D"],
)  # fmt: skip
def test_write(tools, kv, layout, dtype, generator):
    sizes = tools.Sizes(blocks=3, block_size=4, heads=2, head_dim=4)
    slots = [5, -1, 11, 0, 7]
    for layer in range(sizes.layers):
        target = tools.build(layout, sizes, dtype, pad=3, generator=generator)
        before, slack = target.read(), target.slack()
        # Strided tensors, one row more than there are slots.
        key = random_bits((6, 2, 2, 4), dtype, generator)[:, 1]
        value = random_bits((6, 16), dtype, generator)[:, 8:]
        kv.write(target.cache, layer, key, value, torch.tensor(slots, dtype=torch.int32))
        expected = dict(before)
        integer = INTEGERS[dtype.itemsize]
        rows = [t.contiguous().view(integer).reshape(6, 8).tolist() for t in (key, value)]
        for row, slot in enumerate(slots):
            for plane in range(2):
                for element in range(8):
                    if slot >= 0:
                        expected[layer, plane, slot, element] = rows[plane][row][element]
        assert target.read() == expected
        assert target.slack() == slack


def test_write_of_latent_and_rope_parts(tools, kv, generator):
    """MLA: two tensors side by side in the one plane's head dim."""
    cache = KVCache(random_bits((2, 3, 4, 12), torch.float16, generator).unbind(0), "L | B S D")
    expected = [t.clone() for t in cache.tensors]
    latent = random_bits((5, 8), torch.float16, generator)
    rope = random_bits((5, 1, 4), torch.float16, generator)
    slots = [3, 9, -2, 11]
    kv.write(cache, 1, latent, rope, torch.tensor(slots))
    for row, slot in enumerate(slots):
        if slot >= 0:
            expected[1][slot // 4, slot % 4, :8] = latent[row]
            expected[1][slot // 4, slot % 4, 8:] = rope[row, 0]
    for ours, want in zip(cache.tensors, expected, strict=True):
        assert torch.equal(ours.view(torch.int16), want.view(torch.int16))


def test_write_of_packed_content(tools, kv, generator):
    """K and V of each head packed in one head dim (LMCache's CS formats)."""
    cache = KVCache([random_bits((3, 2, 4, 8), torch.int8, generator)], "NL_X_NB_NH_BS_CS")
    expected = cache.tensors[0].clone()
    key, value = (random_bits((3, 2, 4), torch.int8, generator) for _ in range(2))
    kv.write(cache, 0, key, value, torch.tensor([4, 0, 10]))
    for row, slot in enumerate([4, 0, 10]):
        for head in range(2):
            expected[slot // 4, head, slot % 4, :4] = key[row, head]
            expected[slot // 4, head, slot % 4, 4:] = value[row, head]
    assert torch.equal(cache.tensors[0], expected)


def test_write_of_the_only_plane(kv, generator):
    cache = KVCache([random_bits((3, 4, 6), torch.int8, generator)], "L | B S D")
    expected = cache.tensors[0].clone()
    key = random_bits((2, 6), torch.int8, generator)
    kv.write(cache, 0, key, None, torch.tensor([11, 2]))
    expected[2, 3], expected[0, 2] = key[0], key[1]
    assert torch.equal(cache.tensors[0], expected)


def test_write_from_a_parameter(kv):
    """Tensors that require gradients are bytes like any other."""
    cache = KVCache([torch.zeros(2, 2, 4)], "L | B S D")
    kv.write(cache, 0, torch.nn.Parameter(torch.ones(1, 4)), None, torch.tensor([1]))
    assert cache.tensors[0].sum() == 4


@pytest.mark.parametrize("layout", ["L | K B S H D", "K L | T H D", "| B L K S H D"])
def test_copy_blocks(tools, kv, layout, generator):
    sizes = tools.Sizes(blocks=5, block_size=3)
    cache = tools.build(layout, sizes, torch.bfloat16, pad=2, generator=generator)
    before, slack = cache.read(), cache.slack()
    mapping = [[4, 0], [4, 2], [-1, 1], [3, -1]]  # block 4 is copied to two
    kv.copy_blocks(cache.cache, torch.tensor(mapping))
    pairs = [(s * 3 + i, d * 3 + i) for s, d in mapping if s >= 0 and d >= 0 for i in range(3)]
    assert cache.read() == tools.moved(before, before, pairs)
    assert cache.slack() == slack


def test_swap_blocks_copies_one_way(tools, kv, generator):
    sizes = tools.Sizes(blocks=4)
    a = tools.build("L | K B S H D", sizes, torch.float32, generator=generator)
    b = tools.build("L | B K H S D", sizes, torch.float32, pad=4, generator=generator)
    source, before = a.read(), b.read()
    mapping = torch.tensor([[3, 0, 9], [0, 3, 9]], dtype=torch.int32)[:, :2]  # strided rows
    kv.swap_blocks(a.cache, b.cache, mapping)
    pairs = [(s * 4 + i, d * 4 + i) for s, d in ((3, 0), (0, 3)) for i in range(4)]
    assert b.read() == tools.moved(source, before, pairs)
    assert a.read() == source


@pytest.mark.parametrize("with_starts", [False, True])
@pytest.mark.parametrize("layout", ["L | K B S H D", "K | B H S L D"])
def test_gather(tools, kv, layout, with_starts, generator):
    rng = random.Random(SEED)
    sizes = tools.Sizes(blocks=7, block_size=4)
    a = tools.build(layout, sizes, torch.bfloat16, generator=generator)
    b = tools.build("| K L T H D", tools.Sizes(blocks=6, block_size=4), torch.bfloat16,
                    generator=generator)  # fmt: skip
    for _ in range(4):
        table = [[rng.randrange(-1, 7) for _ in range(4)] for _ in range(3)]
        starts = [rng.randrange(5) if with_starts else 0 for _ in range(3)]
        lens = [rng.randrange(0, 9) for _ in range(3)]
        before, out, pairs = b.read(), 0, []
        for row, start, length in zip(table, starts, lens, strict=True):
            for token in range(start, start + length):
                block = row[token // 4]
                pairs.append((block * 4 + token % 4 if block >= 0 else -1, out))
                out += 1
        # Entries beyond a sequence's end are not read, whatever they hold.
        for row, start, length in zip(table, starts, lens, strict=True):
            for entry in range((start + length + 3) // 4, 4):
                row[entry] = 10**6
        kv.gather(
            a.cache, b.cache, torch.tensor(table, dtype=torch.int32), torch.tensor(lens),
            seq_starts=torch.tensor(starts) if with_starts else None,
        )  # fmt: skip
        assert b.read() == tools.moved(a.read(), before, pairs)


def test_nothing_to_do(tools, kv, generator):
    sizes = tools.Sizes()
    a, b = (tools.build("L | K B S H D", sizes, torch.int8, generator=generator) for _ in range(2))
    before = b.read()
    none = torch.empty(0, dtype=torch.int64)
    kv.transfer(a.cache, b.cache, none, none)
    kv.transfer(a.cache, b.cache, torch.tensor([-1, 2]), torch.tensor([3, -1]))
    kv.copy_blocks(b.cache, torch.empty(0, 2, dtype=torch.int32))
    kv.swap_blocks(a.cache, b.cache, torch.empty(0, 2, dtype=torch.int64))
    kv.gather(a.cache, b.cache, torch.empty(0, 0, dtype=torch.int64), none)
    kv.gather(a.cache, b.cache, torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, dtype=int))
    kv.write(b.cache, 0, torch.empty(0, 8, dtype=torch.int8), torch.empty(0, 8, dtype=torch.int8),
             none)  # fmt: skip
    assert b.read() == before


def test_caches_without_blocks(kv):
    empty = KVCache.allocate(
        "vllm_nhd", layers=1, blocks=0, block_size=4, heads=1, head_dim=2, dtype=torch.int8
    )
    none = torch.empty(0, dtype=torch.int64)
    kv.transfer(empty, empty, none, none)
    with pytest.raises(IndexError):
        kv.transfer(empty, empty, torch.tensor([0]), torch.tensor([0]))
