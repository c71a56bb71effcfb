"""How plain torch moves tokens or blocks between two caches: one operator per layer and plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .kv_cache import unit_rows
from .workload import TorchWay

if TYPE_CHECKING:
    import torch

    from accel.kv import KVCache
    from accel.kv.plan import Grain

__all__ = ["gather_ways", "scatter_ways"]


def gather_ways(
    src: KVCache, dst: KVCache, units: torch.Tensor, grain: Grain
) -> tuple[TorchWay, ...]:
    """``index_select`` of every plane of every layer: into the contiguous cache, and as it is."""
    import torch

    pairs = _planes(src, dst, grain)
    index = units.to(src.device)
    outs = [(rows, out[: len(index)]) for rows, out in pairs]

    def into() -> None:
        for rows, out in outs:
            torch.index_select(rows, 0, index, out=out)

    def new() -> list[torch.Tensor]:
        return [torch.index_select(rows, 0, index) for rows, _ in outs]

    return (
        ()
        if not pairs
        else (
            TorchWay("index_select(out=) per layer", into),
            TorchWay("index_select per layer", new, allocates=True),
        )
    )


def scatter_ways(
    src: KVCache, dst: KVCache, units: torch.Tensor, grain: Grain
) -> tuple[TorchWay, ...]:
    """``index_copy_`` of every plane of every layer of the contiguous cache."""
    pairs = _planes(src, dst, grain)
    index = units.to(dst.device)
    ins = [(out, rows[: len(index)]) for rows, out in pairs]

    def call() -> None:
        for out, rows in ins:
            out.index_copy_(0, index, rows)

    return (TorchWay("index_copy_ per layer", call),) if pairs else ()


def _planes(src: KVCache, dst: KVCache, grain: Grain) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows of both caches; empty where torch has no one operator for it."""
    if src.device != dst.device:
        return []
    pairs = []
    for layer in range(src.layers):
        for plane in range(src.planes):
            rows = unit_rows(src, layer, plane, grain)
            into = unit_rows(dst, layer, plane, grain)
            if rows is None or into is None:
                return []
            pairs.append((rows, into))
    return pairs
