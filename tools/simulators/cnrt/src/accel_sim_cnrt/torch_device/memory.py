"""Memory of a device: what there is, and what torch's allocator holds of it."""

from __future__ import annotations

from typing import Any

from .devices import index_of
from .native import native

__all__ = [
    "empty_cache",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
]


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes that are free, and all bytes, by the runtime."""
    free, total = native.memory_info(index_of(device))
    return int(free), int(total)


def memory_stats(device: Any = None) -> dict[str, int]:
    return dict(native.memory_statistics(index_of(device)))


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors have."""
    return memory_stats(device)["allocated_bytes.all.current"]


def max_memory_allocated(device: Any = None) -> int:
    return memory_stats(device)["allocated_bytes.all.peak"]


def memory_reserved(device: Any = None) -> int:
    """Bytes that the allocator has, for tensors or to hand out again."""
    return memory_stats(device)["reserved_bytes.all.current"]


def max_memory_reserved(device: Any = None) -> int:
    return memory_stats(device)["reserved_bytes.all.peak"]


def reset_peak_memory_stats(device: Any = None) -> None:
    native.reset_peaks(index_of(device))


def reset_max_memory_allocated(device: Any = None) -> None:
    reset_peak_memory_stats(device)


def reset_accumulated_memory_stats(device: Any = None) -> None:
    native.reset_totals(index_of(device))


def empty_cache() -> None:
    """Gives all memory back that no tensor has; waits for the queues that last used it."""
    native.empty_cache()
