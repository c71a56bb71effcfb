"""Which workloads a command runs, in order. A new family is one more line here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .buffers import size_name
from .families import (
    calls,
    kv_blocks,
    kv_calls,
    kv_duplex,
    kv_entropy,
    kv_layouts,
    kv_quantization,
    kv_quantized,
    kv_rope,
    kv_tokens,
    kv_transfers,
    kv_uploads,
    memcpy_calls,
    memcpy_forms,
    memcpy_sizes,
    staging_copies,
)
from .kv_setting import KVSetting
from .shapes import KVShape
from .site import Site
from .workload import Workload

__all__ = [
    "CALLS",
    "KV_EVERY_COUNT",
    "KV_ONE_COUNT",
    "MEMCPY",
    "STAGING",
    "KVRequest",
    "calls_suite",
    "kv_suite",
    "memcpy_suite",
    "staging_suite",
]

#: Each takes the site and the largest payload in bytes.
MEMCPY = (
    memcpy_sizes.copies,
    memcpy_forms.batches,
    memcpy_forms.rows_2d,
    memcpy_forms.fills,
    memcpy_calls.tiny_copies,
)

#: Likewise.
CALLS = (calls.events, calls.streams, calls.copies)

#: Likewise.
STAGING = (
    staging_copies.to_host,
    staging_copies.to_device,
    staging_copies.new_memory,
    staging_copies.ring,
)

#: Each takes the site and a KVSetting; run for every token count.
KV_EVERY_COUNT = (kv_transfers.between_paged_and_contiguous, kv_duplex.both_ways)

#: Run for one token count: the largest up to 2048, or else the smallest.
KV_ONE_COUNT = (
    kv_layouts.layout_pairs,
    kv_layouts.block_size_one,
    kv_blocks.swaps,
    kv_blocks.copies_within,
    kv_tokens.writes,
    kv_tokens.gathers,
    kv_rope.repositions,
    kv_quantized.quantized_writes,
    kv_quantized.conversions,
    kv_calls.decode_calls,
    kv_uploads.uploads,
    kv_entropy.entropy_coding,
    kv_quantization.quantized,
)
ONE_COUNT = 2048


@dataclass(frozen=True)
class KVRequest:
    """What ``accel bench kv`` was asked for."""

    shapes: tuple[KVShape, ...]
    tokens: tuple[int, ...]
    layouts: tuple[str, ...] = ()
    every_pair: bool = False  #: only the transfers between all pairs of layouts


def memcpy_suite(site: Site, max_bytes: int) -> Iterator[Workload]:
    """All memcpy workloads with payloads up to ``max_bytes``."""
    for family in MEMCPY:
        yield from family(site, max_bytes)


def calls_suite(site: Site, max_bytes: int) -> Iterator[Workload]:
    """What the calls of streams, events and copies cost the host."""
    for family in CALLS:
        yield from family(site, max_bytes)


def staging_suite(site: Site, max_bytes: int) -> Iterator[Workload]:
    """All staging workloads with payloads up to ``max_bytes``."""
    for family in STAGING:
        yield from family(site, max_bytes)


def kv_suite(site: Site, request: KVRequest, max_bytes: int) -> tuple[list[Workload], list[str]]:
    """All KV workloads, and a line for each token count that ``max_bytes`` leaves out."""
    workloads: list[Workload] = []
    left_out: list[str] = []
    for shape in request.shapes:
        fitting = _fitting(shape, request.tokens, max_bytes, left_out)
        if request.every_pair:
            for tokens in fitting:
                workloads += kv_layouts.every_pair(site, KVSetting(shape, tokens))
            continue
        for tokens in fitting:
            setting = KVSetting(shape, tokens, request.layouts)
            for family in KV_EVERY_COUNT:
                workloads += family(site, setting)
        if fitting:
            setting = KVSetting(shape, _one_count(fitting), request.layouts)
            for family in KV_ONE_COUNT:
                workloads += family(site, setting)
    return workloads, left_out


def _fitting(
    shape: KVShape, tokens: Sequence[int], max_bytes: int, left_out: list[str]
) -> list[int]:
    fitting = []
    for count in tokens:
        payload = count * shape.token_bytes
        if payload <= max_bytes:
            fitting.append(count)
        else:
            left_out.append(
                f"{shape.name}, {count} tokens: a payload of {payload:,} bytes exceeds"
                f" --max-bytes {size_name(max_bytes)}"
            )
    return fitting


def _one_count(tokens: Sequence[int]) -> int:
    small = [t for t in tokens if t <= ONE_COUNT]
    return max(small) if small else min(tokens)
