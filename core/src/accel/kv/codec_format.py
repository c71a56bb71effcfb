"""The container of entropy-coded KV: how symbols are split over streams, header and directory.

docs/kv-codec.md is the specification, ``accel/kv_codec.h`` the same in C. A backend without a
parser of its own uses :class:`Container`, which refuses damaged, truncated and foreign data before
a kernel touches it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from ..errors import CodecError, ShapeError

__all__ = [
    "LANES",
    "MOST_BINS",
    "SCALE",
    "SCALE_BITS",
    "STATE_LOW",
    "Container",
    "Header",
    "Split",
    "StreamPlace",
    "check_of",
    "encode_bound",
]

LANES = 32
SCALE_BITS = 14
SCALE = 1 << SCALE_BITS  #: frequencies of a channel add up to this
STATE_LOW = 1 << 16  #: states lie in [this, 2**32)
MOST_BINS = 256
MOST_EXTENT = 1 << 31  #: extents are below this

VERSION = 1
MAGIC = b"AKVC"
HEADER = struct.Struct("<4sHBBIIQQQIIQII")
ENTRY = struct.Struct("<II")

SEED_HEADER, SEED_DIRECTORY, SEED_MODEL, SEED_STREAM = 1, 2, 3, 16

_CHUNK_TOKENS = 2048
_SHORT_CHUNK = 1024
_LANE_SHORT, _LANE_LONG = 1024, 4096
_MASK = 0xFFFFFFFF
#: The cure of data that is not what was encoded.
DAMAGED = "fetch or encode it again: it was changed after it was encoded"


@dataclass(frozen=True)
class StreamPlace:
    """What one stream holds: ``tokens`` from ``token`` on, rows of 32 channels from ``row`` on."""

    layer: int
    token: int
    tokens: int
    row: int
    rows: int
    lanes: int  #: whose states are stored


@dataclass(frozen=True)
class Split:
    """How ``[layers, tokens, channels]`` is divided over streams."""

    layers: int
    tokens: int
    channels: int
    chunks: int  #: of tokens
    groups: int  #: of rows of 32 channels

    @classmethod
    def choose(cls, layers: int, tokens: int, channels: int) -> Split:
        """The split that encoders use: lanes long enough for their states to cost little."""
        if not (layers and tokens and channels):
            return cls(layers, tokens, channels, 0, 0)
        chunks = _ceil(tokens, _CHUNK_TOKENS)
        longest = _ceil(tokens, chunks)
        lane = _LANE_SHORT if longest <= _SHORT_CHUNK else _LANE_LONG
        groups = max(1, _ceil(channels, LANES) * longest // lane)
        return cls(layers, tokens, channels, chunks, groups)

    @property
    def rows(self) -> int:
        """Rows of 32 channels in a layer; the last may be partial."""
        return _ceil(self.channels, LANES)

    @property
    def streams(self) -> int:
        """Streams in all, in the order (layer, chunk, group)."""
        return self.layers * self.chunks * self.groups

    def place(self, index: int) -> StreamPlace:
        """What stream ``index`` holds."""
        rest, group = divmod(index, self.groups)
        layer, chunk = divmod(rest, self.chunks)
        token = _part(self.tokens, self.chunks, chunk)
        row = _part(self.rows, self.groups, group)
        return StreamPlace(
            layer,
            token,
            _part(self.tokens, self.chunks, chunk + 1) - token,
            row,
            _part(self.rows, self.groups, group + 1) - row,
            min(LANES, self.channels - row * LANES),
        )

    def bound(self) -> int:
        """The most bytes that a container of this split takes."""
        bytes_of_layer = 0
        for i in range(self.chunks * self.groups):
            place = self.place(i)
            symbols = place.lanes * place.rows * place.tokens
            words = symbols - symbols // 16 + place.lanes
            bytes_of_layer += place.lanes * 4 + _ceil(words * 2, 4) * 4
        return HEADER.size + self.streams * ENTRY.size + bytes_of_layer * self.layers


def encode_bound(shape: Sequence[int]) -> int:
    """Bytes that are enough for symbols of ``shape`` ``[layers, tokens, channels]``, any model.

    Raises:
        ShapeError: not three extents.
    """
    if len(shape) != 3 or not all(0 <= n < MOST_EXTENT for n in shape):
        raise ShapeError("shape", "[layers, tokens, channels]", list(shape))
    return Split.choose(*(int(n) for n in shape)).bound()


def check_of(units: Sequence[int], seed: int) -> int:
    """The check of a sequence of units: the sum, modulo 2**32, of each mixed with its number."""
    total = 0
    for i, unit in enumerate(units, 1):
        mixed = (unit + i * 0x9E3779B1 + seed * 0x7FEB352D) & _MASK
        mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6D & _MASK
        total += mixed ^ mixed >> 13
    return total & _MASK


@dataclass(frozen=True)
class Header:
    """The first 64 bytes."""

    split: Split
    bins: int
    model_check: int
    total_bytes: int
    directory_check: int

    def pack(self) -> bytes:
        """The bytes, with their own check."""
        split = self.split
        fields = (
            MAGIC, VERSION, SCALE_BITS, LANES, self.bins, self.model_check,
            split.layers, split.tokens, split.channels, split.chunks, split.groups,
            self.total_bytes, self.directory_check,
        )  # fmt: skip
        packed = HEADER.pack(*fields, 0)[:-4]
        return packed + struct.pack("<I", check_of(words_of(packed), SEED_HEADER))

    @classmethod
    def parse(cls, data: bytes, size: int, argument: str = "data") -> Header:
        """The header at the start of ``data``, of a container of ``size`` bytes.

        Raises:
            CodecError: it is none, or not that of these bytes.
        """

        def refuse(expected: str, given: object, cure: str = "") -> NoReturn:
            raise CodecError(argument, expected, given, cure)

        if size < HEADER.size:
            refuse(f"encoded KV of at least {HEADER.size} bytes", f"{size} bytes")
        packed = data[: HEADER.size]
        (magic, version, scale_bits, lanes, bins, model_check, layers, tokens, channels, chunks,
         groups, total_bytes, directory_check, header_check) = HEADER.unpack(packed)  # fmt: skip
        if magic != MAGIC:
            refuse(
                "encoded KV, which begins with 'AKVC'", "other data", "pass what encode returned"
            )
        if version != VERSION:
            refuse(
                f"format version {VERSION}",
                f"version {version}",
                "decode with the release that encoded it",
            )
        if header_check != check_of(words_of(packed[:-4]), SEED_HEADER):
            refuse("a sound header", "a damaged one", DAMAGED)
        if (
            (scale_bits, lanes) != (SCALE_BITS, LANES)
            or not 1 <= bins <= MOST_BINS
            or max(layers, tokens, channels) >= MOST_EXTENT
        ):
            refuse("a header within the limits of version 1", "a foreign one")
        if total_bytes != size:
            refuse(
                f"{total_bytes} bytes as its header says",
                f"{size} bytes",
                "it was truncated: pass all of it"
                if total_bytes > size
                else "pass no more than its bytes",
            )
        split = Split(layers, tokens, channels, chunks, groups)
        if layers and tokens and channels:
            sound = 1 <= chunks <= tokens and 1 <= groups <= split.rows
        else:
            sound = chunks == groups == 0
        if not sound:
            refuse("chunks of tokens and groups of channels", "more than there are, or none")
        if split.streams > (size - HEADER.size) // ENTRY.size:
            refuse("a directory of all streams", "too few bytes for one", DAMAGED)
        return cls(split, bins, model_check, total_bytes, directory_check)

    @property
    def payload(self) -> int:
        """Where the streams begin."""
        return HEADER.size + self.split.streams * ENTRY.size


@dataclass(frozen=True)
class Container:
    """A header and directory that are sound. The streams themselves are not looked at."""

    header: Header
    ranges: tuple[tuple[int, int], ...]  #: of each stream: first byte and one past the last
    checks: tuple[int, ...]  #: of each stream's bytes

    @classmethod
    def parse(cls, head: bytes, size: int, argument: str = "data") -> Container:
        """From the bytes in front of the streams (or more), of a container of ``size`` bytes.

        Raises:
            CodecError: damaged, truncated or foreign.
        """
        header = Header.parse(head, size, argument)
        split, payload = header.split, header.payload
        directory = head[HEADER.size : payload]
        if header.directory_check != check_of(words_of(directory), SEED_DIRECTORY):
            raise CodecError(argument, "a sound directory", "a damaged one", DAMAGED)
        if (size - payload) % 4 or (not split.streams and size != payload):
            raise CodecError(argument, "streams in units of 4 bytes", f"{size - payload} bytes")
        entries = list(ENTRY.iter_unpack(directory))
        starts = [payload + start * 4 for start, _ in entries]
        if starts and starts[0] != payload:
            raise CodecError(argument, "a first stream at 0", "one elsewhere")
        ranges = tuple(zip(starts, [*starts[1:], size], strict=True)) if starts else ()
        for i, (begin, end) in enumerate(ranges):
            if end > size or end - begin < 4 * split.place(i).lanes:
                raise CodecError(
                    argument,
                    "streams within the data",
                    f"stream {i} at bytes {begin} to {end} of {size}",
                )
        return cls(header, ranges, tuple(check for _, check in entries))

    @staticmethod
    def build(bins: int, model_check: int, split: Split, streams: Sequence[bytes]) -> bytes:
        """The container of these streams."""
        directory = bytearray()
        start = 0
        for i, stream in enumerate(streams):
            check = check_of(words_of(stream), SEED_STREAM + i)
            directory += ENTRY.pack(start // 4, check)
            start += len(stream)
        header = Header(split, bins, model_check, 0, check_of(words_of(directory), SEED_DIRECTORY))
        header = replace(header, total_bytes=header.payload + start)
        return b"".join((header.pack(), directory, *streams))


def words_of(data: bytes | bytearray) -> tuple[int, ...]:
    """Little-endian 32-bit units."""
    return struct.unpack(f"<{len(data) // 4}I", data)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _part(total: int, parts: int, i: int) -> int:
    """Where part i begins: parts differ by one at most, larger ones first."""
    each, more = divmod(total, parts)
    return each * i + min(i, more)
