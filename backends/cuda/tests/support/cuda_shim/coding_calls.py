"""Arguments of the entropy coder's kernels in ctypes, as the native host side makes them."""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_uint32, c_uint64

from accel.kv.codec_format import LANES, Split


class Symbols(ctypes.Structure):
    _fields_ = [("data", c_uint64), ("layer_stride", c_int64), ("token_stride", c_int64),
                ("channel_stride", c_int64)]  # fmt: skip


class SplitArgs(ctypes.Structure):
    _fields_ = [
        (name, c_uint64)
        for name in ("layers", "tokens", "channels", "rows", "chunks", "groups", "streams")
    ]


class ModelArgs(ctypes.Structure):
    _fields_ = [("symbols", Symbols), ("layers", c_uint64), ("tokens", c_uint64),
                ("channels", c_uint64), ("model", c_uint64), ("fault", c_uint64),
                ("state", c_uint64), ("bins", c_uint32), ("exact", c_uint32)]  # fmt: skip


class EncodeArgs(ctypes.Structure):
    _fields_ = [("symbols", Symbols), ("split", SplitArgs),
                *((name, c_uint64) for name in
                  ("model", "first", "count", "words", "stride", "states", "sizes", "out",
                   "state", "result")),
                *((name, c_uint32) for name in
                  ("bins", "twice", "look", "dry", "last", "padding"))]  # fmt: skip


class DecodeArgs(ctypes.Structure):
    _fields_ = [("out", Symbols),
                *((name, c_uint64) for name in
                  ("layers", "tokens", "channels", "data", "bytes", "model", "state", "fault")),
                *((name, c_uint32) for name in
                  ("bins", "ahead", "table", "padding"))]  # fmt: skip


def split_args(shape: tuple[int, int, int]) -> SplitArgs:
    """The split that encoders choose."""
    s = Split.choose(*shape)
    return SplitArgs(*shape, s.rows, s.chunks, s.groups, s.streams)


def words_stride(split: SplitArgs) -> int:
    """Words that one stream may give: as many as symbols in the largest."""
    if not split.streams:
        return 0
    place = Split(
        *(getattr(split, n) for n in ("layers", "tokens", "channels", "chunks", "groups"))
    )
    largest = place.place(0)
    return LANES * largest.rows * largest.tokens


def pairs_words(bins: int) -> int:
    """CODING_PAIRS_WORDS."""
    return (bins + 1) * 33


def encode_shared(bins: int, twice: bool) -> int:
    """Bytes of shared memory that coding_encode wants."""
    return pairs_words(bins) * 4 * (2 if twice else 1)


def decode_shared(bins: int, ahead: bool, table: int) -> int:
    """The same of coding_decode: the ring, the buckets of a table, the pairs."""
    return (
        2048 + (0, 512 * 32, 128 * 32 * 9)[table] + encode_shared(bins, False) * (3 if ahead else 1)
    )


def model_shared(bins: int) -> int:
    """The same of coding_model."""
    return bins * 32 * 4 + 32 * (bins + 1) * 2
