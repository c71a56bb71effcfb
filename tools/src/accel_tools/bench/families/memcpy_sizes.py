"""Plain copies from 4 KiB to 1 GiB in every direction: the line that all else is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from accel import Capability

from ..buffers import GuardedPair, size_name
from ..site import Kind, Site
from ..workload import Case, TorchWay, Workload

__all__ = ["copies"]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = (4 * KIB, 64 * KIB, MIB, 16 * MIB, 256 * MIB, GIB)
FEW_SIZES = (MIB, 64 * MIB)


def copies(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``memcpy.copy`` of contiguous buffers, up to ``max_bytes``."""
    for dst, src, sizes in _directions(site):
        for nbytes in sizes:
            if nbytes <= max_bytes:
                yield _copy(site, dst, src, nbytes)


def _directions(site: Site) -> Iterator[tuple[Kind, Kind, tuple[int, ...]]]:
    if site.separate:
        yield "device", "device", SIZES
        if site.has("pinned"):
            yield "device", "pinned", SIZES
            yield "pinned", "device", SIZES
        yield "device", "host", FEW_SIZES
        yield "host", "device", FEW_SIZES
    else:
        yield "host", "host", SIZES
        if site.has("pinned"):
            yield "pinned", "host", FEW_SIZES
            yield "host", "pinned", FEW_SIZES


def _copy(site: Site, dst: Kind, src: Kind, nbytes: int) -> Workload:
    name = f"copy {site.label(src)} to {site.label(dst)}, {size_name(nbytes)}"

    def prepare(site: Site) -> Case:
        pair = GuardedPair.make(site, dst, src, nbytes, name)
        memcpy = site.backend.memcpy
        copy = memcpy.copy_async if site.event_timed else memcpy.copy
        return Case(
            partial(copy, pair.dst, pair.src),
            pair.reset,
            pair.check,
            dst,
            src,
            (TorchWay("Tensor.copy_", partial(pair.dst.copy_, pair.src)),),
        )

    labels: dict[str, str | int] = {"from": site.label(src), "to": site.label(dst)}
    return Workload(name, (Capability.COPY,), nbytes, 6 * nbytes, prepare, labels)
