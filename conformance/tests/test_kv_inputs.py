"""Labelled caches: their map of every byte is right, and an Expectation sees every change."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import FORMS, INT_VIEWS, Form, build, distinct_layouts
from accel_conformance.kv_shapes import DTYPES, ODD_SHAPES, SMALL


def _host(n: int) -> torch.Tensor:
    return torch.empty(n, dtype=torch.uint8)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("separate", [False, True])
def test_map_agrees_with_the_cache(form: Form, separate: bool) -> None:
    """Made from the letters alone, the map finds what the cache's own views show."""
    rng = torch.Generator().manual_seed(5)
    for planes in (1, 2):
        for layout in distinct_layouts(planes):
            for shape in (SMALL, *ODD_SHAPES):
                shape = dataclasses.replace(shape, planes=planes)
                made = build(
                    layout, shape, torch.bfloat16, _host, rng, form=form, separate=separate
                )
                assert made.slots == made.cache.slots == shape.slots
                assert len(made.planes) == made.cache.planes
                for p, plane in enumerate(made.planes):
                    for layer, arena in enumerate(plane.arena):
                        view = made.cache.views[layer][p].reshape(shape.slots, -1)
                        found = arena.raw.view(torch.int16)[plane.index[layer]]
                        assert torch.equal(view.view(torch.int16), found), (layout, shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_byte_is_mapped_twice(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(6)
    for form in FORMS:
        made = build("sglang_page_head", SMALL, dtype, _host, rng, form=form)
        every = torch.cat([plane.index.flatten() for plane in made.planes])
        assert len(every) == len(every.unique())
        assert int(every.max()) < len(made.arenas[0].raw) // dtype.itemsize


def test_any_changed_byte_is_seen() -> None:
    """In the payload, in the padding between blocks, in a guard band."""
    rng = torch.Generator().manual_seed(7)
    made = build("vllm_nhd", SMALL, torch.bfloat16, _host, rng, form=FORMS[2])
    expected = Expectation(made)
    expected.check()
    raw = made.arenas[0].raw
    payload = int(made.planes[1].index[1, 7, 3]) * 2
    taken = torch.cat([plane.index.flatten() for plane in made.planes])
    first, last = int(taken.min()), int(taken.max())
    inner = next(i for i in range(first, last) if i not in set(taken.tolist()))
    for at, place in (
        (payload, "layer 1, plane 1, token 7, element 3"),
        (inner * 2, "padding or a guard band"),
        (0, "padding or a guard band"),
        (len(raw) - 1, "padding or a guard band"),
    ):
        raw[at] ^= 1
        with pytest.raises(AssertionError, match=place):
            expected.check()
        raw[at] ^= 1
    expected.check()


def test_expected_move_is_plain_indexing() -> None:
    rng = torch.Generator().manual_seed(8)
    src, dst = (build(n, SMALL, torch.float32, _host, rng) for n in ("vllm_nhd", "vllm_hnd"))
    expected = Expectation(src, dst)
    expected.move(src, dst, [(3, 9), (-1, 4), (5, -1), (3, 0)])
    before = dst.cache.view(1, 0).clone()
    for s, d in ((3, 9), (3, 0)):
        for layer in range(2):
            for plane in range(2):
                row = src.cache.view(layer, plane)[s // 4, s % 4]
                dst.cache.view(layer, plane)[d // 4, d % 4] = row
    assert not torch.equal(before.view(INT_VIEWS[4]), dst.cache.view(1, 0).view(INT_VIEWS[4]))
    expected.check()
