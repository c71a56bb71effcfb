"""HostStaging: device to host and back, against a plain copy of the same bytes and memories."""

from __future__ import annotations

from collections.abc import Iterator

from accel import Capability

from ..buffers import GuardedPair, bytes_differ, size_name
from ..site import Kind, Site
from ..workload import Case, Workload

__all__ = ["new_memory", "ring", "to_device", "to_host"]

MIB = 1 << 20
SIZES = (64 << 10, MIB, 16 * MIB, 256 * MIB, 1024 * MIB)
FEW_SIZES = (MIB, 256 * MIB)
NEEDS = (Capability.COPY, Capability.STREAMS, Capability.EVENTS)


def to_host(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``copy_to_host_async`` into existing memory, and the wait for it."""
    for kind in _host_kinds(site):
        for nbytes in SIZES:
            if nbytes <= max_bytes:
                yield _copy(site, kind, "device", nbytes)


def to_device(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``copy_to_device_async``, and the wait for it."""
    for kind in _host_kinds(site):
        for nbytes in SIZES:
            if nbytes <= max_bytes:
                yield _copy(site, "device", kind, nbytes)


def ring(site: Site, max_bytes: int) -> Iterator[Workload]:
    """Where one hop is chosen: what the two hops of the ring would cost."""
    if not site.separate:
        for nbytes in FEW_SIZES:
            if nbytes <= max_bytes:
                yield _copy(site, "host", "device", nbytes, direct=False)


def new_memory(site: Site, max_bytes: int) -> Iterator[Workload]:
    """``copy_to_host_async`` without ``out``: new pages come on top of the copy."""
    for nbytes in FEW_SIZES:
        if nbytes <= max_bytes:
            yield _new(site, nbytes)


def _host_kinds(site: Site) -> tuple[Kind, ...]:
    return ("host", "pinned") if site.has("pinned") else ("host",)


def _copy(site: Site, dst: Kind, src: Kind, nbytes: int, direct: bool = True) -> Workload:
    way = "" if direct else " through the ring"
    end = "device" if dst == "device" else "host"
    name = f"to {end}: {site.label(src)} to {site.label(dst)}{way}, {size_name(nbytes)}"

    def prepare(site: Site) -> Case:
        from accel import HostStaging

        pair = GuardedPair.make(site, dst, src, nbytes, name)
        staging = HostStaging(site.backend, direct=direct)

        def call() -> None:
            if dst == "device":
                staging.copy_to_device_async(pair.src, pair.dst).wait()
            else:
                staging.copy_to_host_async(pair.src, pair.dst).wait()

        return Case(call, pair.reset, pair.check, dst, src)

    needs = NEEDS if direct and not site.separate else (*NEEDS, Capability.PINNED)
    labels: dict[str, str | int] = {"from": site.label(src), "to": site.label(dst)}
    return Workload(name, needs, nbytes, 6 * nbytes + (64 << 20), prepare, labels)


def _new(site: Site, nbytes: int) -> Workload:
    name = f"to host: {site.label('device')} to new host memory, {size_name(nbytes)}"

    def prepare(site: Site) -> Case:
        import torch

        from accel import HostStaging

        staging = HostStaging(site.backend)
        x = site.empty("device", nbytes, torch.uint8)
        site.randomise(x, site.generator(name))
        # The newest result only: it goes when the next one has come, as in a caller's loop.
        last: list[torch.Tensor] = []

        def call() -> None:
            last[:] = [staging.copy_to_host_async(x).result()]

        def check() -> str:
            return bytes_differ(last[0], x.cpu())

        return Case(call, last.clear, check, "host", "device")

    needs = (*NEEDS, Capability.PINNED) if site.separate else NEEDS
    labels: dict[str, str | int] = {"from": site.label("device"), "to": "host"}
    return Workload(name, needs, nbytes, 6 * nbytes + (64 << 20), prepare, labels)
