"""Entropy-coded KV worked out from docs/kv-codec.md: models, bytes, symbols, sizes.

Integer arithmetic of numpy over the lanes of one step at a time. Uses nothing of accel's own coder
or container, so that neither can be wrong unnoticed.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import numpy as np
import torch

__all__ = [
    "Container",
    "check_of",
    "decode",
    "encode",
    "entropy_bytes",
    "join",
    "model_of",
    "pull",
    "words_of",
]

Array = Any  # numpy.ndarray of int64
BITS = 14
TOTAL = 1 << BITS
LOW = 1 << 16
LANES = 32
HEADER = struct.Struct("<4s H B B I I Q Q Q I I Q I I")


def pull(tensor: torch.Tensor) -> Array:
    """A tensor of symbols (their bytes) or of a model, as int64."""
    host = tensor.detach().to("cpu", copy=True).contiguous()
    return (host.view(torch.uint8) if host.element_size() == 1 else host).numpy().astype(np.int64)


def model_of(symbols: Array, bins: int, *, exact: bool = False) -> Array:
    """``[layers, channels, bins + 1]``: what ``entropy_model`` must return."""
    layers, tokens, channels = symbols.shape
    if tokens == 0:
        row = [TOTAL * b // bins for b in range(bins + 1)]
        return np.broadcast_to(np.array(row), (layers, channels, bins + 1)).copy()
    counts = np.stack([(symbols == b).sum(1) for b in range(bins)], -1)
    unused = counts == 0
    share = TOTAL - (0 if exact else 1) * unused.sum(-1, keepdims=True)
    crowded = tokens > share
    share = share - crowded * (~unused).sum(-1, keepdims=True)
    extra = np.where(unused, 0 if exact else 1, crowded)
    ends = np.cumsum(counts, -1) * share // tokens + np.cumsum(extra, -1)
    model = np.concatenate([np.zeros((layers, channels, 1), np.int64), ends], -1)
    assert (model[..., -1] == TOTAL).all()
    return model


def entropy_bytes(symbols: Array) -> float:
    """The order-0 entropy of every layer and channel, added up."""
    total = 0.0
    tokens = symbols.shape[1]
    for b in range(256):
        p = (symbols == b).mean(1)
        total -= float((p[p > 0] * np.log2(p[p > 0])).sum())
    return float(total * tokens / 8)


def check_of(units: Array, seed: int) -> int:
    """The check of little-endian units."""
    mask = np.uint64(0xFFFFFFFF)
    n = np.arange(1, len(units) + 1, dtype=np.uint64)
    v = (units.astype(np.uint64) + n * np.uint64(0x9E3779B1)) & mask
    v = (v + np.uint64(seed * 0x7FEB352D % 2**32)) & mask
    v = (v ^ v >> np.uint64(15)) * np.uint64(0x2C1B3C6D) & mask
    return int((v ^ v >> np.uint64(13)).sum() & mask)


def words_of(data: bytes | bytearray) -> Array:
    """Little-endian 32-bit units."""
    return np.frombuffer(bytes(data), "<u4").astype(np.int64)


def _parts(total: int, parts: int) -> list[range]:
    """``total`` things in ``parts`` parts, the larger ones first."""
    sizes = [total // parts + (i < total % parts) for i in range(parts)]
    return [range(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(parts)]


def _default_split(tokens: int, channels: int) -> tuple[int, int]:
    chunks = -(-tokens // 2048)
    longest = -(-tokens // chunks)
    rows = -(-channels // LANES)
    return chunks, max(1, rows * longest // (1024 if longest <= 1024 else 4096))


def _blocks(shape: tuple[int, ...], chunks: int, groups: int) -> list[tuple[int, slice, slice]]:
    """(layer, tokens, channels) of each stream."""
    layers, tokens, channels = shape
    if not chunks:
        return []
    rows = -(-channels // LANES)
    return [
        (layer, slice(t.start, t.stop), slice(r.start * LANES, min(r.stop * LANES, channels)))
        for layer in range(layers)
        for t in _parts(tokens, chunks)
        for r in _parts(rows, groups)
    ]


def encode(
    symbols: Array, model: Array, split: tuple[int, int] | None = None, *, begin: int = LOW
) -> bytes:
    """The container of ``symbols [layers, tokens, channels]``.

    Args:
        begin: the state that every lane begins with; any other than 2**16 is wrong.
        split: chunks and groups other than those that encoders choose: decoders read these too.
    """
    _, tokens, channels = symbols.shape
    if symbols.size == 0:
        split = (0, 0)
    elif split is None:
        split = _default_split(tokens, channels)
    streams = [
        _encode_stream(symbols[layer, t, c], model[layer, c], begin)
        for layer, t, c in _blocks(symbols.shape, *split)
    ]
    return join(symbols.shape, split, model, streams)


def join(
    shape: tuple[int, ...], split: tuple[int, int], model: Array, streams: list[bytes]
) -> bytes:
    """The container of these streams, every check right."""
    starts = np.cumsum([0, *(len(s) // 4 for s in streams)])
    directory = b"".join(
        struct.pack("<II", start, check_of(words_of(s), 16 + i))
        for i, (start, s) in enumerate(zip(starts, streams, strict=False))
    )
    fields = (
        b"AKVC", 1, BITS, LANES, model.shape[2] - 1, check_of(model.reshape(-1), 3),
        *shape, *split, HEADER.size + len(directory) + sum(map(len, streams)),
        check_of(words_of(directory), 2),
    )  # fmt: skip
    head = HEADER.pack(*fields, 0)[:-4]
    return b"".join([head, struct.pack("<I", check_of(words_of(head), 1)), directory, *streams])


def _encode_stream(symbols: Array, model: Array, begin: int) -> bytes:
    """``symbols [tokens, channels]``, the last step first, words from the back to the front."""
    tokens, channels = symbols.shape
    states = np.full(min(channels, LANES), begin, np.int64)
    backwards: list[int] = []
    for first in reversed(range(0, channels, LANES)):
        n = min(LANES, channels - first)
        lane, mine = np.arange(first, first + n), symbols[:, first : first + n]
        starts, ends = model[lane, mine], model[lane, mine + 1]
        for t in reversed(range(tokens)):
            x, frequency = states[:n], ends[t] - starts[t]
            full = x >> 18 >= frequency
            backwards += (x[full] & 0xFFFF).tolist()[::-1]
            x = np.where(full, x >> 16, x)
            states[:n] = (x // frequency << BITS) + x % frequency + starts[t]
    words = np.array(backwards[::-1] + [0] * (len(backwards) % 2), "<u2")
    return states.astype("<u4").tobytes() + words.tobytes()


class Container:
    """The parts of encoded data that is sound; AssertionError says what is not."""

    def __init__(self, data: bytes) -> None:
        (magic, version, bits, lanes, self.bins, self.model_check, *shape, chunks, groups,
         size, directory_check, header_check) = HEADER.unpack(data[: HEADER.size])  # fmt: skip
        assert (magic, version, bits, lanes) == (b"AKVC", 1, BITS, LANES), "the header's constants"
        assert size == len(data), "the header's size"
        assert header_check == check_of(words_of(data[:60]), 1), "the header's check"
        self.shape, self.split = tuple(shape), (chunks, groups)
        self.blocks = _blocks(self.shape, *self.split)
        payload = HEADER.size + 8 * len(self.blocks)
        directory = data[HEADER.size : payload]
        assert directory_check == check_of(words_of(directory), 2), "the directory's check"
        entries = list(struct.iter_unpack("<II", directory))
        starts = [payload + 4 * start for start, _ in entries] + [len(data)]
        self.streams = [data[a:b] for a, b in pairwise(starts)]
        for i, (stream, (_, check)) in enumerate(zip(self.streams, entries, strict=True)):
            assert check == check_of(words_of(stream), 16 + i), f"the check of stream {i}"


def decode(data: bytes, model: Array) -> Array:
    """The symbols in ``data``; AssertionError says what is wrong with it."""
    container = Container(data)
    assert container.bins == model.shape[2] - 1, "the bins of the model"
    assert container.model_check == check_of(model.reshape(-1), 3), "the model's check"
    symbols = np.full(container.shape, -1, np.int64)
    for stream, (layer, t, c) in zip(container.streams, container.blocks, strict=True):
        symbols[layer, t, c] = _decode_stream(stream, t.stop - t.start, model[layer, c])
    return symbols


def _decode_stream(stream: bytes, tokens: int, model: Array) -> Array:
    channels = len(model)
    lanes = min(channels, LANES)
    states = words_of(stream[: 4 * lanes]).copy()
    words = np.frombuffer(stream[4 * lanes :], "<u2").astype(np.int64)
    taken = 0
    out = np.empty((tokens, channels), np.int64)
    for first in range(0, channels, LANES):
        n = min(LANES, channels - first)
        mine, lane = model[first : first + n], np.arange(n)
        for t in range(tokens):
            x = states[:n]
            slot = x % TOTAL
            symbol = (mine[:, 1:] <= slot[:, None]).sum(1)
            start, end = mine[lane, symbol], mine[lane, symbol + 1]
            x = (end - start) * (x >> BITS) + slot - start
            low = x < LOW
            need = int(low.sum())
            assert taken + need <= len(words), "too few words"
            x[low] = x[low] << 16 | words[taken : taken + need]
            taken += need
            states[:n] = x
            out[t, first : first + n] = symbol
    assert (states == LOW).all(), "a lane that does not end where it began"
    assert len(words) - taken == taken % 2 and not words[taken:].any(), "words that are left over"
    return out
