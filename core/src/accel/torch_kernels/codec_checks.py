"""Checks and containers of docs/kv-codec.md over tensors of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..kv.codec_format import (
    ENTRY,
    HEADER,
    SCALE,
    SEED_DIRECTORY,
    SEED_MODEL,
    SEED_STREAM,
    Container,
    Header,
    Split,
)

if TYPE_CHECKING:
    import torch

__all__ = ["build_container", "checks_of_streams", "cumulative", "model_check", "units_of"]

_MASK = 0xFFFFFFFF


def units_of(data: torch.Tensor) -> torch.Tensor:
    """Little-endian 32-bit units of bytes, int64; the bytes' number is a multiple of 4."""
    import torch

    return data.contiguous().clone().view(torch.int32).long() & _MASK


def mixed(units: torch.Tensor, numbers: torch.Tensor, seeds: torch.Tensor | int) -> torch.Tensor:
    """Each unit mixed with its number (from 1) and its seed."""
    # 0x9E3779B1 as a negative number of 31 bits: a product of numbers below 2**32 with it fits.
    v = (units + numbers * (0x9E3779B1 - (1 << 32)) + seeds * 0x7FEB352D) & _MASK
    v = ((v ^ (v >> 15)) * 0x2C1B3C6D) & _MASK
    return v ^ (v >> 13)


def model_check(model: torch.Tensor) -> int:
    """The check of an int16 model."""
    import torch

    units = model.reshape(-1).long() & 0xFFFF
    return int(mixed(units, torch.arange(1, len(units) + 1), SEED_MODEL).sum()) & _MASK


def checks_of_streams(units: torch.Tensor, ranges: Sequence[tuple[int, int]]) -> list[int]:
    """The check of each stream, whose units follow one another from ``ranges[0][0]`` on."""
    import torch

    if not ranges:
        return []
    first = ranges[0][0]
    lengths = torch.tensor([e - b for b, e in ranges])
    stream = torch.repeat_interleave(torch.arange(len(ranges)), lengths)
    begin = torch.tensor([b for b, _ in ranges]) - first
    numbers = torch.arange(1, len(stream) + 1) - begin[stream]
    values = mixed(units[first : first + len(stream)], numbers, stream + SEED_STREAM)
    sums = torch.zeros(len(ranges), dtype=torch.int64).index_add_(0, stream, values)
    return [int(s) & _MASK for s in sums.tolist()]


def build_container(
    bins: int, check: int, split: Split, streams: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """The bytes of streams given as states and words."""
    import torch

    parts, ranges, at = [], [], 0
    for states, words in streams:
        halves = [(states & 0xFFFF).int(), (states >> 16).int()]
        laid = [torch.stack(halves, -1).flatten(), words]
        if len(words) % 2:
            laid.append(torch.zeros(1, dtype=torch.int32))
        body = torch.cat(laid)
        parts.append(body)
        ranges.append((at, at + len(body) // 2))
        at += len(body) // 2
    halves_of_all = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int32)
    payload = halves_of_all.to(torch.int16).view(torch.uint8)  # the low sixteen bits
    checks = checks_of_streams(units_of(payload), ranges)
    directory = b"".join(
        ENTRY.pack(begin, of) for (begin, _), of in zip(ranges, checks, strict=True)
    )
    entries = torch.frombuffer(bytearray(directory), dtype=torch.uint8) if directory else None
    of_directory = 0
    if entries is not None:
        numbers = torch.arange(1, len(entries) // 4 + 1)
        of_directory = int(mixed(units_of(entries), numbers, SEED_DIRECTORY).sum()) & _MASK
    header = Header(split, bins, check, 0, of_directory)
    total = header.payload + len(payload)
    packed = replace(header, total_bytes=total).pack()
    front = torch.frombuffer(bytearray(packed + directory), dtype=torch.uint8)
    return torch.cat([front, payload])


def parse_container(data: torch.Tensor) -> Container:
    """Header and directory of host bytes; CodecError if they are not sound."""
    size = data.numel()
    head = data[: HEADER.size].numpy().tobytes()
    if size >= HEADER.size:
        payload = Header.parse(head, size).payload
        head = data[:payload].numpy().tobytes()
    return Container.parse(head, size)


def cumulative(counts: torch.Tensor, tokens: int, exact: bool) -> torch.Tensor:
    """Cumulative frequencies, int64 ``[..., bins + 1]``, of counts ``[..., bins]``."""
    import torch

    bins = counts.shape[-1]
    end = torch.full((*counts.shape[:-1], 1), SCALE, dtype=torch.int64)
    if tokens == 0:
        row = torch.arange(bins) * SCALE // bins
        return torch.cat([row.expand(*counts.shape[:-1], bins), end], -1)
    used = counts > 0
    used_bins = used.sum(-1, keepdim=True)
    unused_floor = 0 if exact else 1
    shared = SCALE - unused_floor * (bins - used_bins)
    used_floor = (tokens > shared).long()
    shared = shared - used_floor * used_bins
    floors = torch.where(used, used_floor, unused_floor)
    below = counts.cumsum(-1) - counts
    starts = below * shared // tokens + floors.cumsum(-1) - floors
    return torch.cat([starts, end], -1)
