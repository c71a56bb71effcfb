"""Damaged, truncated and foreign data is refused before anything is written, and never a crash."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from accel import Capability
from accel.errors import CodecError, ShapeError
from accel_conformance import codec_expected
from accel_conformance.case import case
from accel_conformance.codec_expected import HEADER, Container, check_of, pull, words_of
from accel_conformance.codec_work import Codec, Encoded, codec_work

codec = codec_work

ENTROPY = [Capability.KV_ENTROPY]


def _refused(codec: Codec, encoded: Encoded, data: bytes) -> None:
    """``data`` is no sound data."""
    given = codec.put_bytes(data) if data else codec.guarded(0)
    codec.refused(
        CodecError,
        "data",
        lambda: codec.kv.decode(given, encoded.model, encoded.out),
        encoded.out,
    )


@case(level=2, needs=ENTROPY)
def test_entropy_changed_bits(codec: Codec) -> None:
    """A changed bit anywhere, in header, directory or streams, is noticed."""
    encoded = Encoded(codec)
    size = len(encoded.bytes)
    streams = range(80, size)
    for at in [*range(80), *streams[::37], size - 1]:
        raw = bytearray(encoded.bytes)
        raw[at] ^= 1 << at % 8
        _refused(codec, encoded, bytes(raw))


@case(level=2, needs=ENTROPY)
def test_entropy_moved_bytes(codec: Codec) -> None:
    """Units of 4 bytes that changed places, and streams that did, are noticed."""
    encoded = Encoded(codec)
    raw = encoded.bytes
    for at in (80, 84, 200, 400):
        swapped = raw[:at] + raw[at + 4 : at + 8] + raw[at : at + 4] + raw[at + 8 :]
        assert swapped != raw
        _refused(codec, encoded, swapped)
    # Same model and symbols in both layers: their streams are alike, but for their numbers.
    host = encoded.host[:1].repeat(2, 1, 1)
    model = codec_expected.model_of(pull(host), Encoded.bins)
    streams = Container(codec_expected.encode(pull(host), model)).streams
    assert streams[0] == streams[1]
    good = bytearray(codec_expected.join(Encoded.shape, (1, 1), model, streams))
    checks = [good[68:72], good[76:80]]
    assert checks[0] != checks[1], "streams are checked with their numbers"
    good[68:72] = checks[1]
    good[56:60] = struct.pack("<I", check_of(words_of(good[64:80]), 2))
    good[60:64] = struct.pack("<I", check_of(words_of(good[:60]), 1))
    given, there = codec.put_bytes(bytes(good)), codec.put_model(model)
    codec.refused(
        CodecError, "data", lambda: codec.kv.decode(given, there, encoded.out), encoded.out
    )


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("size", [0, 1, 4, 63, 64, 72, 79, 80, 100, -8, -4, -2, -1])
def test_entropy_truncated(codec: Codec, size: int) -> None:
    """Data that ends too early, anywhere."""
    encoded = Encoded(codec)
    _refused(codec, encoded, encoded.bytes[:size])


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("more", [b"\0", b"\0\0\0\0", b"AKVC" * 20], ids=len)
def test_entropy_too_long(codec: Codec, more: bytes) -> None:
    """Bytes behind the data."""
    encoded = Encoded(codec)
    _refused(codec, encoded, encoded.bytes + more)


@case(level=2, needs=ENTROPY)
def test_entropy_foreign(codec: Codec) -> None:
    """Other formats, random bytes, and random bytes that begin like the format."""
    encoded = Encoded(codec)
    noise = bytes(torch.randint(256, (4096,), generator=codec.rng).tolist())
    for data in (b"PK\3\4" * 100, b"\x28\xb5\x2f\xfd" + noise, noise, b"\0" * 64, b"\xff" * 999):
        _refused(codec, encoded, data)
    for begin in (4, 6, 8, 16, 40, 48, 64):
        _refused(codec, encoded, encoded.bytes[:begin] + noise)


FIELDS: dict[str, dict[str, int | bytes]] = {
    "magic": {"magic": b"AKVD"},
    "version-0": {"version": 0},
    "version-2": {"version": 2},
    "version-257": {"version": 257},
    "scale": {"scale": 15},
    "lanes": {"lanes": 64},
    "no-bins": {"bins": 0},
    "bins-257": {"bins": 257},
    "bins-of-another-model": {"bins": Encoded.bins + 1},
    "another-model": {"model": 12345},
    "tokens-2^31": {"tokens": 2**31},
    "layers-2^62": {"layers": 2**62},
    "layers-2^31": {"layers": 2**31 - 1},
    "channels-2^63": {"channels": 2**63},
    "no-channels": {"channels": 0},
    "no-tokens": {"tokens": 0},
    "no-chunks": {"chunks": 0},
    "no-groups": {"groups": 0},
    "chunks-past-tokens": {"chunks": 51},
    "groups-past-rows": {"groups": 3},
    "groups-2^32": {"groups": 2**32 - 1},
    "chunks-2^32": {"chunks": 2**32 - 1},
    "two-groups": {"groups": 2},
    "nothing-with-streams": {"layers": 0, "chunks": 1, "groups": 1},
    "size-2^63": {"size": 2**63},
    "size-less": {"size": 80},
}


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("name", FIELDS)
def test_entropy_headers(codec: Codec, name: str) -> None:
    """Headers that say what cannot be, with all checks right: no crash, no endless loop."""
    encoded = Encoded(codec)
    names = (
        "magic", "version", "scale", "lanes", "bins", "model", "layers", "tokens", "channels",
        "chunks", "groups", "size", "directory", "check",
    )  # fmt: skip
    values = dict(zip(names, HEADER.unpack(encoded.bytes[:64]), strict=True)) | FIELDS[name]
    head = HEADER.pack(*values.values())[:60]
    head += struct.pack("<I", check_of(words_of(head), 1))
    given = codec.put_bytes(head + encoded.bytes[64:])
    codec.refused(
        (CodecError, ShapeError),
        ("data", "model", "out"),
        lambda: codec.kv.decode(given, encoded.model, encoded.out),
        encoded.out,
    )


#: From where the second stream begins and how many units there are: where both are said to begin.
DIRECTORIES: dict[str, Callable[[int, int], list[int]]] = {
    "first-elsewhere": lambda s, n: [4, s],
    "backwards": lambda s, n: [s, 0],
    "all-of-it": lambda s, n: [0, n],
    "past-the-end": lambda s, n: [0, n + 1],
    "far": lambda s, n: [0, 2**32 - 1],
    "no-states": lambda s, n: [0, 31],
    "no-states-left": lambda s, n: [0, n - 31],
}


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("name", DIRECTORIES)
def test_entropy_directories(codec: Codec, name: str) -> None:
    """Streams said to be where they cannot be, with all checks of the container right."""
    encoded = Encoded(codec)
    raw = bytearray(encoded.bytes)
    units, second = (len(raw) - 80) // 4, struct.unpack("<I", raw[72:76])[0]
    raw[64:68], raw[72:76] = (struct.pack("<I", n) for n in DIRECTORIES[name](second, units))
    raw[56:60] = struct.pack("<I", check_of(words_of(raw[64:80]), 2))
    raw[60:64] = struct.pack("<I", check_of(words_of(raw[:60]), 1))
    _refused(codec, encoded, bytes(raw))


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "a-unit-more": lambda s: s + bytes(4),
    "a-word-more": lambda s: s[:-2] + b"\1\1" if s[-2:] == bytes(2) else s + b"\1\1\0\0",
    "a-unit-less": lambda s: s[:-4],
    "states-alone": lambda s: s[:128],
    "low-state": lambda s: b"\xff\xff\0\0" + s[4:],
    "no-state": lambda s: bytes(4) + s[4:],
    "other-state": lambda s: s[:2] + bytes([s[2] ^ 4]) + s[3:],
    "other-word": lambda s: s[:160] + bytes([s[160] ^ 0x55]) + s[161:],
    "all-ones": lambda s: b"\xff" * len(s),
}


@case(level=2, needs=ENTROPY)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", STREAMS)
def test_entropy_streams(codec: Codec, name: str, which: int) -> None:
    """Wrong streams behind right checks: found by what the lanes do, within the memory given."""
    encoded = Encoded(codec)
    streams = Container(encoded.bytes).streams
    streams[which] = STREAMS[name](streams[which])
    data = codec_expected.join(Encoded.shape, (1, 1), encoded.host_model, streams)
    given = codec.put_bytes(data)
    # Symbols may have been written here: only the guard bands must be whole.
    error = codec.refused(
        CodecError, "data", lambda: codec.kv.decode(given, encoded.model, encoded.out)
    )
    assert f"stream {which}" in str(error), f"the error does not name the stream: {error}"


@case(level=2, needs=ENTROPY)
def test_entropy_lane_ends(codec: Codec) -> None:
    """Streams of sound words whose lanes began elsewhere than at 2**16."""
    encoded = Encoded(codec)
    for begin in (2**16 + 1, 2**17, 2**31):
        data = codec_expected.encode(pull(encoded.host), encoded.host_model, begin=begin)
        given = codec.put_bytes(data)
        call = partial(codec.kv.decode, given, encoded.model, encoded.out)
        codec.refused(CodecError, "data", call)


@case(level=2, needs=ENTROPY)
def test_entropy_other_model(codec: Codec) -> None:
    """Another model, of as many bins or of more, is refused before anything is decoded."""
    encoded = Encoded(codec)
    near = encoded.host_model.copy()
    row = near[1, 39]
    bin_ = int(np.diff(row).argmax())
    row[bin_ + 1 : -1] -= 1
    if bin_ == Encoded.bins - 1:
        row[-2] += 1
    wider = codec_expected.model_of(pull(encoded.host), Encoded.bins + 1)
    for model in (near, wider, encoded.host_model[::-1].copy()):
        there = codec.put_model(model)
        codec.refused(
            CodecError,
            "model",
            partial(codec.kv.decode, encoded.data, there, encoded.out),
            encoded.out,
        )
