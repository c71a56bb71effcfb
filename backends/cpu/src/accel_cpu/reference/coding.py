"""Entropy coding symbol by symbol in Python integers: docs/kv-codec.md, read aloud."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from accel.kv.codec_arguments import (
    check_apart,
    check_bins,
    check_encode_out,
    check_encoded,
    check_model,
    check_symbols,
)
from accel.kv.codec_format import (
    LANES,
    SCALE,
    SCALE_BITS,
    SEED_MODEL,
    SEED_STREAM,
    STATE_LOW,
    Container,
    Split,
    StreamPlace,
    check_of,
    words_of,
)
from accel.kv.codec_values import (
    check_encoded_model,
    check_encoded_shape,
    check_frequencies_of,
    check_model_values,
    check_symbol_values,
    refuse_stream,
)
from accel.providers.kv_coding import KVCoding

from .streams import check_stream

if TYPE_CHECKING:
    import torch

    from accel.providers import Stream

__all__ = ["ReferenceKVCoding"]

_HOST = ("cpu",)

#: By layer and channel: cumulative frequencies.
Rows = list[list[list[int]]]


class ReferenceKVCoding(KVCoding):
    """The oracle for codes and bytes. Slow: some microseconds a symbol."""

    def entropy_model(
        self,
        symbols: torch.Tensor,
        bins: int,
        *,
        exact: bool = False,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        import torch

        check_stream(stream)
        bins = check_bins(bins)
        symbols = check_symbols(symbols, _HOST)
        check_symbol_values(symbols, bins)
        layers, tokens, channels = symbols.shape
        model = torch.empty(layers, channels, bins + 1, dtype=torch.int16)
        for layer in range(layers):
            for channel in range(channels):
                counts = torch.bincount(symbols[layer, :, channel].long(), minlength=bins).tolist()
                row = cumulative(counts, tokens, exact)
                model[layer, channel] = torch.tensor(row, dtype=torch.int16)
        return model

    def encode(
        self,
        symbols: torch.Tensor,
        model: torch.Tensor,
        *,
        out: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> torch.Tensor:
        import torch

        check_stream(stream)
        symbols = check_symbols(symbols, _HOST)
        layers, tokens, channels = symbols.shape
        model = check_model(model, layers, channels, _HOST)
        if out is not None:
            given = {"symbols": symbols, "model": model}
            out = check_encode_out(out, symbols.shape, _HOST, given)
        rows = _rows(model)
        check_symbol_values(symbols, model.shape[2] - 1)
        check_frequencies_of(symbols, model)
        values = symbols.tolist()
        split = Split.choose(layers, tokens, channels)
        streams = [
            encode_stream(values, rows, channels, split.place(i)) for i in range(split.streams)
        ]
        data = Container.build(model.shape[2] - 1, _model_check(model), split, streams)
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if out is None:
            return encoded
        out[: len(data)] = encoded
        return out[: len(data)]

    def decode(
        self,
        data: torch.Tensor,
        model: torch.Tensor,
        out: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        import torch

        check_stream(stream)
        data = check_encoded(data, _HOST)
        target = check_symbols(out, _HOST, "out", written=True)
        layers, tokens, channels = target.shape
        model = check_model(model, layers, channels, _HOST)
        check_apart(target, "out", {"data": data, "model": model})
        packed = data.numpy().tobytes()
        container = Container.parse(packed, len(packed))
        split = container.header.split
        check_encoded_shape(container.header, target.shape)
        rows = _rows(model)
        check_encoded_model(container.header, model.shape[2] - 1, _model_check(model))
        values = torch.zeros(layers, tokens, channels, dtype=torch.uint8).tolist()
        for i, (begin, end) in enumerate(container.ranges):
            stream_bytes = packed[begin:end]
            if check_of(words_of(stream_bytes), SEED_STREAM + i) != container.checks[i]:
                refuse_stream(i, "a wrong check")
        for i, (begin, end) in enumerate(container.ranges):
            why = decode_stream(packed[begin:end], values, rows, channels, split.place(i))
            if why:
                refuse_stream(i, why)
        if target.numel():
            target.copy_(torch.tensor(values, dtype=torch.uint8))


def cumulative(counts: list[int], tokens: int, exact: bool) -> list[int]:
    """Where each bin starts, and the scale at the end."""
    bins = len(counts)
    if tokens == 0:
        return [SCALE * b // bins for b in range(bins + 1)]
    used = sum(n > 0 for n in counts)
    floor_unused, floor_used = 0 if exact else 1, 0
    shared = SCALE - floor_unused * (bins - used)
    if tokens > shared:  # a share could come to nothing
        floor_used = 1
        shared -= used
    row, below, floors = [], 0, 0
    for n in counts:
        row.append(below * shared // tokens + floors)
        below += n
        floors += floor_used if n else floor_unused
    return [*row, SCALE]


def encode_stream(
    values: list[list[list[int]]], rows: Rows, channels: int, place: StreamPlace
) -> bytes:
    """States, words, padding: the symbols pushed last to first, the words turned round."""
    states = [STATE_LOW] * place.lanes
    backwards: list[int] = []
    for token, lane, channel in reversed(list(_steps(place, channels))):
        symbol, row = values[place.layer][token][channel], rows[place.layer][channel]
        start, frequency = row[symbol], row[symbol + 1] - row[symbol]
        state = states[lane]
        if state >> (32 - SCALE_BITS) >= frequency:
            backwards.append(state & 0xFFFF)
            state >>= 16
        states[lane] = (state // frequency << SCALE_BITS) + state % frequency + start
    words = backwards[::-1]
    if len(words) % 2:
        words.append(0)
    return struct.pack(f"<{len(states)}I{len(words)}H", *states, *words)


def decode_stream(
    data: bytes, values: list[list[list[int]]], rows: Rows, channels: int, place: StreamPlace
) -> str:
    """Fill in ``values``; what is wrong with the stream, or nothing."""
    states = list(struct.unpack_from(f"<{place.lanes}I", data))
    words = [word for (word,) in struct.iter_unpack("<H", data[4 * place.lanes :])]
    if min(states) < STATE_LOW:
        return "a state below its range"
    taken = 0
    for token, lane, channel in _steps(place, channels):
        row = rows[place.layer][channel]
        state = states[lane]
        slot = state % SCALE
        symbol = bisect_right(row, slot) - 1  # row[symbol] <= slot < row[symbol + 1]
        values[place.layer][token][channel] = symbol
        state = (row[symbol + 1] - row[symbol]) * (state >> SCALE_BITS) + slot - row[symbol]
        if state < STATE_LOW:
            if taken == len(words):
                return "too few words"
            state = state << 16 | words[taken]
            taken += 1
        states[lane] = state
    if any(state != STATE_LOW for state in states):
        return "a lane that does not end where it began"
    if any(words[taken:]) or len(words) - taken > 1:
        return "words that no lane takes"
    return ""


def _steps(place: StreamPlace, channels: int) -> Iterator[tuple[int, int, int]]:
    """(token, lane, channel) in the order of decoding."""
    for row in range(place.row, place.row + place.rows):
        first = row * LANES
        for token in range(place.token, place.token + place.tokens):
            for lane in range(min(LANES, channels - first)):
                yield token, lane, first + lane


def _rows(model: torch.Tensor) -> Rows:
    check_model_values(model)
    rows: Rows = model.tolist()
    return rows


def _model_check(model: torch.Tensor) -> int:
    return check_of(model.flatten().tolist(), SEED_MODEL)
