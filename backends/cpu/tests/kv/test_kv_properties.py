"""Random layouts, shapes, dtypes, paddings and slot lists against the loops of conftest."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.kv import KVCache

PAGED_PAIR = "L | B H D1 S D0 ; L | B H D S"
TWO_PLANES = [
    "L | K B S H D", "L | K B H S D", "L | B K S H D", "| B L K S H D", "K L | T H D",
    "K | T L H D", "K | B H S L D", "| K L T D", "L | B H S K D", "L | B S H K D",
    "L | K B H 1 S D", "L K | B S H D", "| B L K H S D", PAGED_PAIR,
]  # fmt: skip
ONE_PLANE = ["L | B S D", "L | T H D", "L | B H S D", "L | B S H D", "| T L D", "L | B H D1 S D0"]


@st.composite
def slot_pairs(draw: Any, src_units: int, dst_units: int) -> list[tuple[int, int]]:
    """Distinct destinations, any sources, padding on either side; neighbours are common."""
    if draw(st.booleans()):
        start = draw(st.integers(0, src_units - 1))
        to = draw(st.integers(0, dst_units - 1))
        most = min(src_units - start, dst_units - to)
        return [(start + i, to + i) for i in range(draw(st.integers(0, most)))]
    targets = draw(st.lists(st.integers(0, dst_units - 1), unique=True, max_size=dst_units))
    pairs = [(draw(st.integers(-3, src_units - 1)), d) for d in targets]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(pairs)))
        pairs.insert(at, (draw(st.integers(-1, src_units - 1)), -draw(st.integers(1, 9))))
    return pairs


def indices(draw: Any, values: list[int]) -> torch.Tensor:
    """As int32 or int64, contiguous or every second element of a larger list."""
    dtype = draw(st.sampled_from([torch.int32, torch.int64]))
    tensor = torch.tensor(values, dtype=dtype)
    if draw(st.booleans()):
        wide = torch.full((2 * len(values),), 2**31 - 1, dtype=dtype)
        wide[::2] = tensor
        tensor = wide[::2]
    return tensor


@pytest.mark.parametrize("backend", ["cpu", "cpu-reference"])
@settings(
    max_examples=120, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(data=st.data())
def test_transfer_between_any_two_layouts(tools, backend, data):
    draw = data.draw
    layouts = draw(st.sampled_from([TWO_PLANES, ONE_PLANE]))
    block_size = draw(st.sampled_from([1, 2, 3, 8]))
    heads = draw(st.sampled_from([1, 2, 3, 5]))
    head_dim, split = draw(st.sampled_from([(1, 1), (4, 2), (6, 3), (8, 8), (80, 8)]))
    made = []
    dtype = draw(st.sampled_from(tools.DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    for _ in range(2):
        sizes = tools.Sizes(
            layers=2, blocks=draw(st.integers(1, 4)), block_size=block_size, heads=heads,
            head_dim=head_dim, split=split,
        )  # fmt: skip
        made.append(
            tools.build(
                draw(st.sampled_from(layouts)), sizes, dtype, pad=draw(st.sampled_from([0, 0, 5])),
                offset=draw(st.sampled_from([0, 3])), generator=generator,
            )
        )  # fmt: skip
    source, target = made
    grain = draw(st.sampled_from(["token", "block"]))
    width = block_size if grain == "block" else 1
    pairs = draw(slot_pairs(source.cache.slots // width, target.cache.slots // width))
    before, slack = target.read(), target.slack()
    untouched = source.read()
    tools.force(backend, draw(st.booleans()), draw(st.booleans()))
    try:
        tools.kv(backend).transfer(
            source.cache,
            target.cache,
            indices(draw, [s for s, _ in pairs]),
            indices(draw, [d for _, d in pairs]),
            grain=grain,
        )
    finally:
        tools.force(backend, False, False)
    tokens = [
        (s * width + i, d * width + i) for s, d in pairs if s >= 0 and d >= 0 for i in range(width)
    ]
    assert target.read() == tools.moved(untouched, before, tokens)
    assert target.slack() == slack
    assert source.read() == untouched


@settings(max_examples=60, deadline=None, print_blob=True)
@given(data=st.data())
def test_native_is_the_reference_on_larger_caches(tools, data):
    """Shapes with long runs, many tokens and every loop of the engine, too large for loops here."""
    draw = data.draw
    layouts = draw(st.sampled_from([TWO_PLANES, ONE_PLANE]))
    dtype = draw(st.sampled_from(tools.DTYPES))
    heads, head_dim = draw(
        st.sampled_from([(8, 128), (3, 80), (1, 576), (2, 33), (4, 64), (7, 20)])
    )
    block_size = draw(st.sampled_from([1, 16, 5]))
    split = next(s for s in (8, 4, 11, 1) if head_dim % s == 0)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shapes = [
        tools.Sizes(2, draw(st.integers(2, 9)), block_size, heads, head_dim, split)
        for _ in range(2)
    ]
    names = [draw(st.sampled_from(layouts)) for _ in range(2)]
    pad, offset = draw(st.sampled_from([0, 16, 5])), draw(st.sampled_from([0, 32, 1]))

    seed = draw(st.integers(0, 2**32))
    source, _ = padded_cache(names[0], shapes[0], dtype, pad, offset, generator)
    native, ours = padded_cache(
        names[1], shapes[1], dtype, pad, offset, torch.Generator().manual_seed(seed)
    )
    reference, theirs = padded_cache(
        names[1], shapes[1], dtype, pad, offset, torch.Generator().manual_seed(seed)
    )
    pairs = draw(slot_pairs(source.slots, native.slots))
    src = torch.tensor([s for s, _ in pairs], dtype=torch.int64)
    dst = torch.tensor([d for _, d in pairs], dtype=torch.int64)
    tools.force("cpu", draw(st.booleans()), draw(st.booleans()))
    try:
        tools.kv("cpu").transfer(source, native, src, dst)
    finally:
        tools.force("cpu", False, False)
    tools.kv("cpu-reference").transfer(source, reference, src, dst)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def padded_cache(layout, sizes, dtype, pad, offset, generator):
    """A cache of random bits, and the whole buffers behind it."""
    buffers = []

    def tensor(axes):
        shape = [sizes.extent(a, "H" not in axes) for a in axes]
        strides, step = [0] * len(axes), 1
        for i in reversed(range(len(axes))):
            strides[i] = step + (pad if axes[i] in ("B", "T") else 0)
            step = strides[i] * shape[i]
        length = (offset + step) * dtype.itemsize
        buffers.append(torch.randint(0, 256, (length,), dtype=torch.uint8, generator=generator))
        return buffers[-1].view(dtype).as_strided(shape, strides, offset)

    def nest(outer, axes):
        if not outer:
            return tensor(axes)
        return [nest(outer[1:], axes) for _ in range(sizes.extent(outer[0], False))]

    planes = []
    for text in layout.split(";"):
        left, _, right = text.rpartition("|")
        axes = right.split()
        size = sizes.block_size if "T" in axes else None
        planes.append(KVCache(nest(left.split(), axes), text, block_size=size))
    return (planes[0] if len(planes) == 1 else KVCache.join(*planes)), buffers
