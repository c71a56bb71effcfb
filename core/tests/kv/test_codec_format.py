"""The container of entropy-coded KV: splits, bounds, checks, and what parsing refuses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel.errors import CodecError, ShapeError
from accel.kv import encode_bound
from accel.kv.codec_format import (
    HEADER,
    SEED_HEADER,
    Container,
    Header,
    Split,
    check_of,
    words_of,
)

extents = st.tuples(st.integers(1, 5), st.integers(1, 9000), st.integers(1, 3000))


def test_split_in_numbers() -> None:
    """Worked out by hand from docs/kv-codec.md."""
    assert (Split.choose(2, 256, 1024).chunks, Split.choose(2, 256, 1024).groups) == (1, 8)
    assert (Split.choose(1, 2048, 1024).chunks, Split.choose(1, 2048, 1024).groups) == (1, 16)
    assert (Split.choose(1, 2049, 64).chunks, Split.choose(1, 2049, 64).groups) == (2, 1)
    assert (Split.choose(1, 5000, 33).chunks, Split.choose(1, 5000, 33).groups) == (3, 1)
    assert Split.choose(4, 256, 1024).streams == 32
    assert Split.choose(3, 0, 5).streams == 0
    place = Split.choose(1, 5000, 33).place(1)
    assert (place.token, place.tokens, place.row, place.rows, place.lanes) == (1667, 1667, 0, 2, 32)
    assert Split.choose(1, 10, 7).place(0).lanes == 7


@given(extents)
def test_places_cover_a_layer_once(shape: tuple[int, int, int]) -> None:
    split = Split.choose(*shape)
    assert 1 <= split.chunks <= shape[1] and 1 <= split.groups <= split.rows
    covered = 0
    for i in range(split.chunks * split.groups):
        place = split.place(i)
        assert place.layer == 0 and 1 <= place.tokens <= 2048 and place.rows >= 1
        assert place.token + place.tokens <= shape[1] and place.row + place.rows <= split.rows
        covered += place.tokens * place.rows
    assert covered == shape[1] * split.rows


@given(extents)
def test_bound_is_near_the_symbols(shape: tuple[int, int, int]) -> None:
    """Never less than the 14 bits that a symbol may take, nor more than 15 and a stream's ends."""
    count = shape[0] * shape[1] * shape[2]
    bound = encode_bound(shape)
    assert bound >= 64 + count * 14 // 8
    split = Split.choose(*shape)
    in_rows = shape[0] * shape[1] * split.rows * min(32, shape[2])
    assert bound <= 64 + in_rows * 15 // 8 + split.streams * (8 + 32 * 4 + 34 * 2 + 4)


@pytest.mark.parametrize("shape", [(1, 2), (1, 2, 3, 4), (1, -1, 2), (1, 2**31, 1)])
def test_bound_of_no_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"\[layers, tokens, channels\]"):
        encode_bound(shape)


def test_bound_of_nothing() -> None:
    assert encode_bound((0, 5, 5)) == encode_bound((5, 0, 5)) == encode_bound((5, 5, 0)) == 64


def test_check_in_numbers() -> None:
    """One unit, step by step."""
    v = (7 + 0x9E3779B1 + 5 * 0x7FEB352D) % 2**32
    v = (v ^ v >> 15) * 0x2C1B3C6D % 2**32
    assert check_of([7], 5) == v ^ v >> 13
    assert check_of([], 5) == 0


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.data())
def test_a_changed_unit_always_shows(units: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(units) - 1))
    other = data.draw(st.integers(0, 2**32 - 1).filter(lambda v: v != units[at]))
    assert check_of(units, 3) != check_of([*units[:at], other, *units[at + 1 :]], 3)


def some_container(split: Split, bins: int = 9) -> bytes:
    streams = [
        struct.pack(f"<{2 * split.place(i).lanes}I", *range(2 * split.place(i).lanes))
        for i in range(split.streams)
    ]
    return Container.build(bins, 0xABCD, split, streams)


@given(extents.filter(lambda s: Split.choose(*s).streams < 60), st.integers(1, 256))
def test_what_is_built_is_parsed(shape: tuple[int, int, int], bins: int) -> None:
    split = Split.choose(*shape)
    data = some_container(split, bins)
    container = Container.parse(data, len(data))
    assert container.header.split == split
    assert (container.header.bins, container.header.model_check) == (bins, 0xABCD)
    assert container.ranges[0][0] == 64 + 8 * split.streams
    assert container.ranges[-1][1] == len(data)
    for i, (begin, end) in enumerate(container.ranges):
        assert container.checks[i] == check_of(words_of(data[begin:end]), 16 + i)


@given(st.data())
def test_changes_in_front_of_the_streams_are_refused(data: st.DataObject) -> None:
    sound = some_container(Split.choose(2, 256, 1024))
    payload = 64 + 8 * 16
    at = data.draw(st.integers(0, payload - 1))
    changed = bytearray(sound)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CodecError, match="chunk: expected"):
        Container.parse(bytes(changed), len(changed), "chunk")


@given(st.binary(max_size=300), st.booleans())
def test_foreign_bytes_are_refused(data: bytes, with_check: bool) -> None:
    data = b"AKVC\1\0\x0e\x20" + data
    if with_check and len(data) >= 64:
        data = data[:60] + struct.pack("<I", check_of(words_of(data[:60]), SEED_HEADER)) + data[64:]
    with pytest.raises(CodecError):
        Container.parse(data, len(data))


@given(st.data())
def test_headers_of_any_fields(data: st.DataObject) -> None:
    """With the check made right, a header is refused or says what can be."""
    awkward = [0, 1, 2, 255, 256, 257, 2**31 - 1, 2**31, 2**32 - 1]
    far = st.sampled_from([*awkward, 2**32, 2**61, 2**64 - 1])
    near = st.sampled_from(awkward)
    byte = st.sampled_from([0, 14, 32])
    size = data.draw(st.integers(64, 4000))
    fields = (
        b"AKVC", 1, data.draw(byte), data.draw(byte), data.draw(near), 0,
        data.draw(far), data.draw(far), data.draw(far), data.draw(near), data.draw(near),
        data.draw(st.sampled_from([size, size + 1, 0, 2**63])), 0,
    )  # fmt: skip
    head = HEADER.pack(*fields, 0)[:-4]
    head += struct.pack("<I", check_of(words_of(head), SEED_HEADER))
    try:
        header = Header.parse(head, size)
    except CodecError:
        return
    assert header.split.streams * 8 + 64 <= size == header.total_bytes
    assert 1 <= header.bins <= 256
