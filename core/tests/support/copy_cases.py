"""What every vendor's movement kernel must do, through its stand-in, with the arguments that core
packs: a test module of a backend takes these by ``from copy_cases import *``, beside a fixture
``kv_copy`` (the library) and one ``standin``.

Expectations come from numpy transposes of logical arrays (copy_images.py), and cover every byte of
every tensor and the guards around it.
"""

from __future__ import annotations

import random

import copy_harness
import copy_images
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.kv import KVCache
from accel.kv.plan import plan_transfer

LAYOUTS = [
    "L | K B S H D", "L | K B H S D", "L | B K S H D", "K L | T H D", "K | T L H D",
    "K | B H S L D", "| B L K S H D", "| K L T H D", "L | B H S K D", "L | B S H K D",
    "L | K B H D1 S D0", "L | K B H D S",
]  # fmt: skip


class Runner:
    def __init__(self, standin, library):
        self.standin, self.library = standin, library

    def image(self, layout, seed, **sizes):
        given = {"layers": 3, "planes": 2, "blocks": 5, "size": 4, "heads": 2, "dim": 16,
                 "itemsize": 2, "split": 8} | sizes  # fmt: skip
        return copy_images.Image(layout, rng=np.random.default_rng(seed), **given)

    def move(self, src, dst, pairs, *, grain="token", form="host", **options):
        """Run it and check every byte; the packed call."""
        a, b = src.cache(), dst.cache()
        plan = plan_transfer(a.geometry, b.geometry, grain)
        tokens = pairs if grain == "token" else copy_images.as_tokens(pairs, a.block_size)
        expected, before = copy_images.moved(src, dst, tokens), dst.snapshot()
        untouched = src.snapshot()
        regions = [*src.regions(False), *dst.regions(True)]
        held, lists = [], []
        for side in range(2):
            made, at = self.index_list([p[side] for p in pairs], form)
            held.append(made)
            lists.append(at)
            if at is not None and at[3]:
                first = made.storage_offset() * made.element_size()
                span = (1 + (len(pairs) - 1) * made.stride(0)) * made.element_size()
                regions.append((made.untyped_storage().data_ptr() + first, span, False))
        done = copy_harness.run_copy(
            self.library, self.standin, plan, a.pointers, b.pointers, *lists, len(pairs),
            [*regions, *options.pop("regions", [])], **options,
        )  # fmt: skip
        dst.check(before, expected)
        for at, raw in src.snapshot().items():
            assert np.array_equal(raw, untouched[at])
        return done

    def index_list(self, values, form):
        if form == "host":
            made = torch.tensor(values, dtype=torch.int64)
            return made, (made.data_ptr(), 1, True, False)
        kind = torch.int32 if "32" in form else torch.int64
        stride = 3 if "strided" in form else 1
        rows = torch.full((max(1, len(values)), stride), 10**6, dtype=kind)
        rows[: len(values), 0] = torch.tensor(values, dtype=kind)
        made = rows[:, 0]
        return made, (made.data_ptr(), stride, kind == torch.int64, True)


@pytest.fixture(scope="module")
def runner(standin, kv_copy):
    return Runner(standin, kv_copy)


@pytest.mark.parametrize("target", LAYOUTS)
@pytest.mark.parametrize("source", LAYOUTS)
def test_every_pair_of_layouts(runner, source, target):
    rng = random.Random(f"{source}{target}")
    src, dst = runner.image(source, 1), runner.image(target, 2, blocks=6)
    pairs = copy_images.some_pairs(src.slots, dst.slots, 17, rng, runs=rng.random() < 0.5)
    runner.move(src, dst, pairs)


@pytest.mark.parametrize("source", LAYOUTS)
def test_blocks(runner, source):
    target = LAYOUTS[(LAYOUTS.index(source) + 1) % len(LAYOUTS)]
    src, dst = runner.image(source, 3), runner.image(target, 4, blocks=7)
    runner.move(src, dst, [(0, 6), (-1, 2), (4, 0), (3, 1), (2, -5)], grain="block")


@pytest.mark.parametrize("form", ["host", "int32", "int64", "int32 strided", "int64 strided"])
def test_forms_of_index_lists(runner, form):
    src, dst = runner.image(LAYOUTS[0], 5, blocks=40), runner.image(LAYOUTS[1], 6, blocks=40)
    rng = random.Random(7)
    runner.move(src, dst, copy_images.some_pairs(160, 160, 150, rng), form=form)


def test_a_list_longer_than_the_window(runner):
    """More indices than a core reads at once, and than travel with one launch."""
    small = {"layers": 1, "heads": 1, "dim": 16, "blocks": 1100}
    rng = random.Random(8)
    for form in ("host", "int64", "int32 strided"):
        src, dst = (
            runner.image("L | K B S H D", 9, **small),
            runner.image("L | K B S H D", 10, **small),
        )
        pairs = copy_images.some_pairs(4400, 4400, 4300, rng)
        done = runner.move(src, dst, pairs, form=form, cores=3)
        assert done.launches == (runner.standin.list_launches if form == "host" else 1)


def test_three_planes(runner):
    """A joined cache, whose planes differ in all that a plane can."""
    sizes = [{"heads": 1, "dim": dim, "itemsize": size} for dim, size in ((24, 2), (7, 4), (1, 1))]
    src = [runner.image("L | B S H D", 40 + i, **s) for i, s in enumerate(sizes)]
    dst = [runner.image("L | T H D", 50 + i, **s) for i, s in enumerate(sizes)]
    a, b = KVCache.join(*(i.cache() for i in src)), KVCache.join(*(i.cache() for i in dst))
    plan = plan_transfer(a.geometry, b.geometry)
    pairs = [(3, 1), (0, 19), (19, 4), (-1, 5), (7, 0)]
    lists = [torch.tensor(values, dtype=torch.int64) for values in zip(*pairs, strict=True)]
    expected = [copy_images.moved(s, d, pairs) for s, d in zip(src, dst, strict=True)]
    before = [d.snapshot() for d in dst]
    regions = [r for i in src for r in i.regions(False)] + [r for i in dst for r in i.regions(True)]
    copy_harness.run_copy(
        runner.library, runner.standin, plan, a.pointers, b.pointers,
        *((t.data_ptr(), 1, True, False) for t in lists), len(pairs), regions,
    )  # fmt: skip
    for image, held, tokens in zip(dst, before, expected, strict=True):
        image.check(held, tokens)


def test_nothing_to_do(runner):
    src, dst = runner.image(LAYOUTS[0], 11), runner.image(LAYOUTS[0], 12)
    assert runner.move(src, dst, []).launches == 0
    assert runner.move(src, dst, [(-1, 3), (2, -1)]).launches == 1


@settings(deadline=None, max_examples=60, derandomize=False)
@given(data=st.data())
def test_any_shape(standin, kv_copy, data):
    """Extents that divide nothing, bases at any element, few and many cores."""
    runner = Runner(standin, kv_copy)
    draw = data.draw
    itemsize = draw(st.sampled_from([1, 2, 4]))
    split = draw(st.sampled_from([1, 2, 4]))
    sizes = {
        "layers": draw(st.integers(1, 3)), "size": draw(st.integers(1, 5)),
        "heads": draw(st.integers(1, 3)), "dim": split * draw(st.integers(1, 33)),
        "itemsize": itemsize, "split": split, "skew": draw(st.integers(0, 40)),
    }  # fmt: skip
    source, target = draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(LAYOUTS))
    src = runner.image(source, 1, blocks=draw(st.integers(1, 6)), **sizes)
    dst = runner.image(target, 2, blocks=draw(st.integers(1, 6)), **sizes)
    rng = random.Random(draw(st.integers(0, 1000)))
    pairs = copy_images.some_pairs(src.slots, dst.slots, 20, rng, runs=draw(st.booleans()))
    form = draw(st.sampled_from(["host", "int32", "int64 strided"]))
    runner.move(src, dst, pairs, form=form, cores=draw(st.sampled_from([1, 2, 7, 48])))


def test_large_tokens_are_cut_to_tiles(runner):
    """A run longer than a tile, at ends that are not aligned."""
    sizes = {"layers": 1, "planes": 1, "heads": 1, "dim": 90007, "size": 2, "blocks": 2,
             "itemsize": 1, "skew": 5}  # fmt: skip
    src, dst = runner.image("L | B S H D", 13, **sizes), runner.image("L | B S H D", 14, **sizes)
    runner.move(src, dst, [(3, 1), (0, 2)])


def test_many_layers_travel_in_several_launches(runner):
    sizes = {"layers": 300, "heads": 1, "blocks": 1, "size": 2}
    src, dst = runner.image("L | K B S H D", 15, **sizes), runner.image("| K L T H D", 16, **sizes)
    done = runner.move(src, dst, [(1, 0), (0, 1)])
    assert done.launches == runner.standin.layer_launches


# --- several cores ---


def test_aligned_work_is_spread_over_all_cores(runner):
    sizes = {"heads": 8, "dim": 64, "blocks": 64, "layers": 8}
    src, dst = runner.image(LAYOUTS[0], 17, **sizes), runner.image(LAYOUTS[0], 18, **sizes)
    rng = random.Random(19)
    done = runner.move(src, dst, copy_images.some_pairs(256, 256, 256, rng))
    assert (done.launches, done.one_core) == (1, 0)
    assert done.most_cores == runner.standin.cores


# --- indices on the device that are out of range ---


def aligned_records(count):
    """Of 64 bytes each, aligned as device memory is."""
    raw = np.zeros(count * 8 + 8, np.int64)
    first = -(raw.ctypes.data // 8) % 8
    return raw[first : first + count * 8].reshape(count, 8)


@pytest.mark.parametrize("form", ["int32", "int64"])
@pytest.mark.parametrize("side", [0, 1])
def test_an_index_out_of_range_is_skipped_and_recorded(runner, side, form):
    src, dst = runner.image(LAYOUTS[0], 25), runner.image(LAYOUTS[1], 26)
    pairs = [(3, 1), (0, 5), (7, 2), (4, 4)]
    wrong = 20 if form == "int32" else 2**40
    pairs[2] = (wrong, 2) if side == 0 else (7, wrong)
    records = aligned_records(runner.standin.cores)
    memory = [(records.ctypes.data, records.nbytes, True)]
    runner.move(src, dst, pairs, form=form, fault=records.ctypes.data, regions=memory)
    found = records[records[:, 0] != 0]
    assert len(found)
    for record in found:
        assert record.tolist() == [1, 1, side + 1, wrong, 20, 2, 0, 0]


def test_the_first_fault_stays_until_it_is_read(runner):
    src, dst = runner.image(LAYOUTS[0], 27), runner.image(LAYOUTS[0], 28)
    records = aligned_records(1)
    memory = [(records.ctypes.data, records.nbytes, True)]
    for wrong in (50, 60):
        runner.move(src, dst, [(wrong, 2), (wrong + 1, 3)], form="int64", cores=1,
                    fault=records.ctypes.data, regions=memory)  # fmt: skip
    assert records[0].tolist() == [1, 1, 1, 50, 20, 0, 0, 0]


def test_nothing_is_recorded_without_a_record(runner):
    src, dst = runner.image(LAYOUTS[0], 29), runner.image(LAYOUTS[0], 30)
    runner.move(src, dst, [(1, 2), (99, 3)], form="int64")


def test_the_number_of_units_may_lie_on_the_device(runner):
    src, dst = runner.image(LAYOUTS[0], 31), runner.image(LAYOUTS[0], 32)
    a, b = src.cache(), dst.cache()
    plan = plan_transfer(a.geometry, b.geometry)
    slots = torch.tensor([4, 9, 2, 7], dtype=torch.int64)
    for stated, meant in ((3, 3), (-1, 0), (9, 4)):
        count = np.array([stated], np.int64)
        before = dst.snapshot()
        expected = dst.tokens()
        source = src.tokens()
        for i in range(meant):
            expected[i] = source[slots[i]]
        regions = [*src.regions(False), *dst.regions(True), (slots.data_ptr(), 32, False),
                   (count.ctypes.data, 8, False)]  # fmt: skip
        copy_harness.run_copy(
            runner.library, runner.standin, plan, a.pointers, b.pointers,
            (slots.data_ptr(), 1, True, True), None, 4, regions, count=count.ctypes.data,
        )  # fmt: skip
        dst.check(before, expected)
        dst.logical = dst.with_tokens(expected)
