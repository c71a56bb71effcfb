"""Every wrong call raises its error, names the argument, and leaves the destination as it was."""

import re

import pytest
import torch

from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    LayoutError,
    OverlapError,
    ShapeError,
    SizeError,
    SlotError,
)
from accel.kv import KVCache

SIZES = dict(layers=2, blocks=4, block_size=4, heads=2, head_dim=4, dtype=torch.bfloat16)


def cache(layout="vllm_nhd", **changes):
    made = KVCache.allocate(layout, **{**SIZES, **changes})
    for tensor in made.tensors:
        tensor.view(torch.uint8 if tensor.element_size() == 1 else torch.int16).random_(0, 100)
    return made


def ints(*values, dtype=torch.int64):
    return torch.tensor(values, dtype=dtype)


def snapshot(*caches):
    return [t.clone() for c in caches for t in c.tensors if t.untyped_storage().nbytes()]


def unchanged(before, *caches):
    after = snapshot(*caches)
    assert len(before) == len(after)
    return all(
        torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
        for a, b in zip(before, after, strict=True)
    )


BAD_SLOTS = [
    (ints(0, 16), ints(0, 1), SlotError, "src_slots", "indices below 16", "16 at position 1"),
    (ints(0, 1), ints(3, 2**40), SlotError, "dst_slots", "below 16", "1099511627776 at position 1"),
    (ints(-1, 99), ints(99, 2), SlotError, "src_slots", "below 16", "99 at position 1"),
    (ints(0, 1, 2), ints(5, 7, 5), OverlapError, "dst_slots", "once", "5 more than once"),
    (ints(*range(9), 9), ints(*range(9), 0), OverlapError, "dst_slots", "once", "0 more than"),
    (ints(0, 1), ints(1), ShapeError, "dst_slots", "2 indices", "1"),
    (ints(0).view(1, 1), ints(1), ShapeError, "src_slots", "one axis", r"\(1, 1\)"),
    (torch.tensor(0), ints(1), ShapeError, "src_slots", "one axis", ""),
    (ints(0, dtype=torch.int16), ints(1), DTypeError, "src_slots", "int32 or int64", "int16"),
    (torch.zeros(1), ints(1), DTypeError, "src_slots", "int32 or int64", "float32"),
    ([0], ints(1), DTypeError, "src_slots", "tensor", "list"),
    (ints(0), None, DTypeError, "dst_slots", "tensor", "NoneType"),
    (ints(0), ints(0).to("meta"), DeviceError, "dst_slots", "", "meta"),
]  # fmt: skip


@pytest.mark.parametrize(("src", "dst", "error", "name", "expected", "given"), BAD_SLOTS)
def test_bad_slots(kv, src, dst, error, name, expected, given):
    a, b = cache(), cache("contiguous")
    before = snapshot(b)
    with pytest.raises(error) as caught:
        kv.transfer(a, b, src, dst)
    assert caught.value.argument == name
    assert re.search(expected, caught.value.expected)
    assert re.search(given, caught.value.given)
    assert unchanged(before, b)


def test_more_repeats_than_a_quadratic_check_takes(kv):
    a, b = cache(blocks=100), cache(blocks=100)
    before = snapshot(b)
    slots = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    with pytest.raises(OverlapError, match=f"{int(slots[399])} more than once"):
        kv.transfer(a, b, slots, torch.cat((slots[1:], slots[399:])))
    assert unchanged(before, b)
    kv.transfer(a, b, slots, slots)  # and nothing of the failed check is left behind
    assert unchanged(snapshot(a), b)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"layers": 3}, LayoutError),
        ({"heads": 3}, LayoutError),
        ({"dtype": torch.float16}, DTypeError),
        ({"dtype": torch.int8}, DTypeError),
        ({"layout": "vllm_mla"}, LayoutError),
        ({"heads": 4, "head_dim": 2}, None),
    ],
)
def test_caches_that_hold_different_things(kv, change, error):
    a, b = cache(), cache(**change)
    before = snapshot(b)
    if error is None:  # the same elements, divided otherwise among heads
        kv.transfer(a, b, ints(0), ints(1))
        return
    with pytest.raises(error) as caught:
        kv.transfer(a, b, ints(0), ints(1))
    assert caught.value.argument == "dst"
    assert unchanged(before, b)


def test_block_sizes_that_differ(kv):
    a, b = cache(), cache(block_size=8)
    before = snapshot(b)
    with pytest.raises(SizeError, match="block size"):
        kv.swap_blocks(a, b, ints(0, 0).view(1, 2))
    with pytest.raises(ArgumentError, match="grain"):
        kv.transfer(a, b, ints(0), ints(0), grain="page")
    with pytest.raises(ArgumentError, match="grain"):
        kv.transfer(a, a, ints(0), ints(0), grain=["block"])
    assert unchanged(before, b)


def test_not_caches(kv):
    a = cache()
    for bad in (None, a.tensors[0], 3):
        with pytest.raises(DTypeError, match="src: expected a KVCache"):
            kv.transfer(bad, a, ints(0), ints(0))
        with pytest.raises(DTypeError, match="dst: expected a KVCache"):
            kv.transfer(a, bad, ints(0), ints(0))
        with pytest.raises(DTypeError, match="cache: expected a KVCache"):
            kv.copy_blocks(bad, ints(0, 1).view(1, 2))
        with pytest.raises(DTypeError, match="cache: expected a KVCache"):
            kv.write(bad, 0, torch.zeros(1, 8), None, ints(0))
    with pytest.raises(DTypeError, match="src"):
        kv.gather(None, a, ints(0).view(1, 1), ints(1))
    with pytest.raises(DTypeError, match="stream"):
        kv.transfer(a, a, ints(0), ints(1), stream="fast")


def test_cache_of_another_device(kv):
    away = KVCache.allocate("vllm_nhd", **SIZES, device="meta")
    here = cache()
    with pytest.raises(DeviceError, match="dst: expected a cache on cpu, given meta"):
        kv.transfer(here, away, ints(0), ints(0))
    with pytest.raises(DeviceError, match="src"):
        kv.swap_blocks(away, here, ints(0, 0).view(1, 2))


# --- overlap -----------------------------------------------------------------------------------


def test_same_cache_read_and_written(kv):
    a = cache()
    before = snapshot(a)
    for src, dst in ((ints(3, 4), ints(4, 5)), (ints(2), ints(2))):
        with pytest.raises(OverlapError, match=f"{int(dst[0])} is read and written") as caught:
            kv.transfer(a, a, src, dst)
        assert caught.value.argument == "dst_slots"
    with pytest.raises(OverlapError, match="read and written"):
        kv.copy_blocks(a, torch.tensor([[0, 1], [1, 2]]))
    many = torch.arange(16).view(2, 8)
    with pytest.raises(OverlapError):
        kv.transfer(a, a, torch.cat((many[0], many[0], many[0])), torch.cat((many[1], many[1],
                    many[1])))  # fmt: skip
    assert unchanged(before, a)
    kv.transfer(a, a, many[0], many[1])
    assert torch.equal(a.tensors[0][:, 2:], a.tensors[0][:, :2])


def test_the_same_memory_described_twice(kv):
    a = cache()
    again = KVCache(list(a.tensors), "vllm_nhd")
    flat = KVCache(
        [[t[k].flatten(0, 1) for t in a.tensors] for k in range(2)], "K L | T H D", block_size=1
    )
    before = snapshot(a)
    for twin in (again, flat):
        with pytest.raises(OverlapError):
            kv.transfer(a, twin, ints(3), ints(3))
        with pytest.raises(OverlapError):
            kv.transfer(a, twin, ints(3, 4), ints(4, 5))
    assert unchanged(before, a)
    expected = [t.clone() for t in before]
    for t in expected:
        t[:, 3, 3], t[:, 3, 2] = t[:, 0, 1], t[:, 0, 2]
    for twin in (again, flat):
        kv.transfer(a, twin, ints(1, 2), ints(15, 14))
    assert unchanged(expected, a)


def test_layers_of_one_allocation_do_not_overlap(kv):
    """Cross-layer pages: the layers interleave, byte ranges intersect, no byte is shared."""
    a = cache("vllm_cross_layer", layers=3)
    first, second = a.select_layers([0, 1]), a.select_layers([1, 2])
    other = a.select_layers(2)
    expected = a.tensors[0].clone()
    expected[0, 2, :, 1] = expected[1, 0, :, 2]
    kv.transfer(a.select_layers(0), other, ints(6), ints(1))
    assert torch.equal(a.tensors[0], expected)
    # Here layer 1 is both written and, in other slots, read.
    with pytest.raises(OverlapError, match="share no byte"):
        kv.transfer(first, second, ints(0, 5), ints(5, 9))
    assert torch.equal(a.tensors[0], expected)
    expected[0, 1:, :, 3] = expected[0, :2, :, 0].clone()
    kv.transfer(first, second, ints(0), ints(3))
    assert torch.equal(a.tensors[0], expected)


def test_values_and_scales_of_one_page(kv):
    """Two views of the same pages, used as source and destination of one another."""
    page = torch.randint(0, 256, (4, 4 * 16), dtype=torch.uint8)
    expected = page.clone()
    left = KVCache([page.as_strided((4, 4, 8), (64, 8, 1))], "L | B S D")
    right = KVCache([page.as_strided((4, 4, 8), (64, 8, 1), 32)], "L | B S D")
    expected[2, 32:40] = expected[2, :8]
    expected[0, 56:64] = expected[3, 24:32]
    kv.transfer(left, right, ints(8, 15), ints(8, 3))
    assert torch.equal(page, expected)
    shifted = KVCache([page.as_strided((3, 4, 8), (64, 8, 1), 4)], "L | B S D")
    with pytest.raises(OverlapError):
        kv.transfer(left, shifted, ints(8), ints(8))
    assert torch.equal(page, expected)


def test_destination_that_overlaps_itself(kv):
    a = cache()
    single = torch.zeros(2, 4, 4, 2, 4, dtype=torch.bfloat16)
    twice = KVCache([single, single], "vllm_nhd")
    expanded = KVCache(
        [torch.zeros(2, 1, 4, 2, 4, dtype=torch.bfloat16).expand(2, 4, 4, 2, 4)] * 2, "vllm_nhd"
    )
    memory = torch.zeros(1000, dtype=torch.bfloat16)
    sliding = KVCache(  # layer 1 starts within layer 0's third slot
        [memory.as_strided((2, 4, 4, 2, 4), (300, 32, 8, 4, 1), i * 20) for i in range(2)],
        "vllm_nhd",
    )
    for target in (twice, expanded, sliding):
        with pytest.raises(OverlapError) as caught:
            kv.transfer(a, target, ints(0), ints(0))
        assert caught.value.argument == "dst"
        with pytest.raises(OverlapError):
            kv.copy_blocks(target, ints(0, 1).view(1, 2))
        assert not any(t.any() for t in target.tensors)
    kv.transfer(twice, a, ints(1), ints(0))  # as a source there is nothing wrong with it


def test_write_from_its_own_cache(kv):
    a = cache("vllm_mla", heads=1, head_dim=8)
    layer = a.tensors[0].view(16, 8)
    before = snapshot(a)
    with pytest.raises(OverlapError):
        kv.write(a, 0, layer[:4], None, ints(3, 4, 5, 6))
    assert unchanged(before, a)
    kv.write(a, 0, layer[:4], None, ints(4, 5, 6, 7))
    assert torch.equal(layer[:4], layer[4:8])


# --- freed memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["vllm_nhd", "K L | T H D", "vllm_cross_layer"])
@pytest.mark.parametrize("prepared", [False, True])
def test_freed_tensors(kv, layout, prepared):
    a, b = cache(), cache(layout)
    if prepared:
        kv.transfer(a, b, ints(0), ints(0))
        kv.write(b, 0, torch.zeros(1, 8, dtype=torch.bfloat16),
                 torch.zeros(1, 8, dtype=torch.bfloat16), ints(0))  # fmt: skip
        kv.copy_blocks(b, ints(0, 1).view(1, 2))
    b.tensors[0].untyped_storage().resize_(0)
    before = snapshot(a, b)
    rows = torch.zeros(1, 8, dtype=torch.bfloat16)
    for call in (
        lambda: kv.transfer(a, b, ints(0), ints(0)),
        lambda: kv.transfer(b, a, ints(0), ints(0)),
        lambda: kv.swap_blocks(a, b, ints(0, 0).view(1, 2)),
        lambda: kv.copy_blocks(b, ints(0, 1).view(1, 2)),
        lambda: kv.gather(b, a, ints(0).view(1, 1), ints(1)),
        lambda: kv.write(b, 0, rows, rows, ints(0)),
    ):
        with pytest.raises(FreedError) as caught:
            call()
        assert caught.value.argument in ("src", "dst", "cache")
    assert unchanged(before, a, b)


def test_tensor_that_got_other_memory(kv):
    a, b = cache(), cache()
    kv.transfer(a, b, ints(0), ints(0))
    b.tensors[1].set_(torch.zeros_like(b.tensors[1]))
    with pytest.raises(FreedError, match="dst"):
        kv.transfer(a, b, ints(0), ints(0))
    assert not b.tensors[1].any()


def test_freed_index_and_value_tensors(kv, backend_name):
    a, b = cache(), cache()
    before = snapshot(b)
    slots = ints(0, 1, 2)[1:]
    slots.untyped_storage().resize_(0)
    rows = torch.zeros(2, 8, dtype=torch.bfloat16)
    if backend_name == "cpu":
        with pytest.raises(FreedError, match="src_slots"):
            kv.transfer(a, b, slots, ints(0, 1))
        with pytest.raises(FreedError, match="slot_mapping"):
            kv.write(b, 0, rows, rows, slots)
    freed = torch.zeros(2, 8, dtype=torch.bfloat16)
    kv.write(b, 0, freed, rows, ints(-1, -1))
    freed.untyped_storage().resize_(0)
    with pytest.raises(FreedError, match="key"):
        kv.write(b, 0, freed, rows, ints(0, 1))
    assert unchanged(before, b)


# --- write, mapping and gather arguments -------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        (dict(layer=2), ArgumentError, "layer"),
        (dict(layer=-1), ArgumentError, "layer"),
        (dict(layer="0"), ArgumentError, "layer"),
        (dict(key=torch.zeros(3, 7, dtype=torch.bfloat16)), ShapeError, "key"),
        (dict(key=torch.zeros(3, dtype=torch.bfloat16)), ShapeError, "key"),
        (dict(key=torch.zeros(3, 8)), DTypeError, "key"),
        (dict(key=None), DTypeError, "key"),
        (dict(value=None), ArgumentError, "value"),
        (dict(value=torch.zeros(2, 8, dtype=torch.bfloat16)), ShapeError, "value"),
        (dict(value=torch.zeros(3, 8, dtype=torch.float16)), DTypeError, "value"),
        (dict(value=torch.zeros(3, 8, dtype=torch.bfloat16, device="meta")), DeviceError, "value"),
        (dict(slots=ints(0, 1, 2, 3)), ShapeError, "slot_mapping"),
        (dict(slots=ints(0, 16)), SlotError, "slot_mapping"),
        (dict(slots=ints(3, 3)), OverlapError, "slot_mapping"),
        (dict(slots=ints(0).view(1, 1)), ShapeError, "slot_mapping"),
        (dict(slots=torch.zeros(1)), DTypeError, "slot_mapping"),
        (dict(slots=[0]), DTypeError, "slot_mapping"),
        (dict(stream=7), DTypeError, "stream"),
    ],
)
@pytest.mark.parametrize("prepared", [False, True])
def test_bad_writes(kv, prepared, arguments, error, name):
    a = cache()
    rows = torch.ones(3, 2, 4, dtype=torch.bfloat16)
    if prepared:
        kv.write(a, 0, rows, rows, ints(-1))
    given = {"layer": 0, "key": rows, "value": rows, "slots": ints(0), "stream": None, **arguments}
    before = snapshot(a)
    with pytest.raises(error) as caught:
        kv.write(a, given["layer"], given["key"], given["value"], given["slots"],
                 stream=given["stream"])  # fmt: skip
    assert caught.value.argument == name
    assert unchanged(before, a)


@pytest.mark.parametrize(
    ("mapping", "error"),
    [
        (ints(0, 1), ShapeError),
        (ints(0, 1, 2).view(1, 3), ShapeError),
        (torch.zeros(1, 2), DTypeError),
        ([[0, 1]], DTypeError),
        (ints(0, 4).view(1, 2), SlotError),
        (ints(4, 0).view(1, 2), SlotError),
        (torch.tensor([[0, 1], [2, 1]]), OverlapError),
    ],
)
def test_bad_mappings(kv, mapping, error):
    a, b = cache(), cache()
    before = snapshot(a, b)
    for call in (lambda: kv.copy_blocks(a, mapping), lambda: kv.swap_blocks(a, b, mapping)):
        with pytest.raises(error) as caught:
            call()
        assert caught.value.argument.startswith("block_mapping")
    assert unchanged(before, a, b)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        (dict(lens=ints(9, 0)), SlotError, "seq_lens"),
        (dict(lens=ints(-1, 0)), SlotError, "seq_lens"),
        (dict(lens=ints(0, 8), starts=ints(0, 1)), SlotError, "seq_lens"),
        (dict(starts=ints(0, -1)), SlotError, "seq_starts"),
        (dict(lens=ints(8, 8), table=ints(0, 1, 2, 4).view(2, 2)), SlotError, "block_table"),
        (dict(lens=ints(1)), ShapeError, "seq_lens"),
        (dict(starts=ints(0)), ShapeError, "seq_starts"),
        (dict(table=ints(0, 1)), ShapeError, "block_table"),
        (dict(table=torch.zeros(2, 2)), DTypeError, "block_table"),
        (dict(lens=[1, 1]), DTypeError, "seq_lens"),
        (dict(lens=torch.zeros(2)), DTypeError, "seq_lens"),
    ],
)
def test_bad_gathers(kv, arguments, error, name):
    a, b = cache(), cache("contiguous")
    before = snapshot(b)
    given = {"table": ints(0, 1, 2, 3).view(2, 2), "lens": ints(3, 2), "starts": None, **arguments}
    with pytest.raises(error) as caught:
        kv.gather(a, b, given["table"], given["lens"], seq_starts=given["starts"])
    assert caught.value.argument == name
    assert unchanged(before, b)


def test_gather_into_too_small_a_cache(kv):
    a, b = cache(), cache("contiguous", blocks=1)
    before = snapshot(b)
    with pytest.raises(SlotError, match="seq_lens: expected at most 4 tokens"):
        kv.gather(a, b, ints(0, 1, 2, 3).view(2, 2), ints(3, 2))
    assert unchanged(before, b)
    with pytest.raises(OverlapError):  # out of and into the same cache
        kv.gather(a, a, ints(0).view(1, 1), ints(1))
