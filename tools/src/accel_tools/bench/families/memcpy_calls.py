"""What a call costs the host: copies so small that nothing else counts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from accel import Capability, MemRef

from ..buffers import GuardedPair
from ..site import Site
from ..workload import Case, TorchWay, Workload

__all__ = ["tiny_copies"]

TINY = 64


def tiny_copies(site: Site, max_bytes: int) -> Iterator[Workload]:
    """64 bytes: tensors, raw references, and the submission to a stream of its own."""
    del max_bytes  # 64 bytes fit any bound
    where = site.label("device")
    needs = (Capability.COPY,)
    foot = 64 << 10
    yield Workload(f"call: copy_async {TINY} B, {where}", needs, TINY, foot, _tensors)
    raw = (Capability.COPY_RAW,)
    yield Workload(f"call: copy_async {TINY} B by MemRef, {where}", raw, TINY, foot, _references)
    submit = (Capability.COPY, Capability.STREAMS)
    name = f"submit: copy_async {TINY} B to a created stream, {where}"
    yield Workload(name, submit, TINY, foot, _submission)


def _pair(site: Site) -> GuardedPair:
    return GuardedPair.make(site, "device", "device", TINY, "tiny copies")


def _tensors(site: Site) -> Case:
    pair = _pair(site)
    return Case(
        partial(site.backend.memcpy.copy_async, pair.dst, pair.src),
        pair.reset,
        pair.check,
        "device",
        "device",
        (TorchWay("Tensor.copy_", partial(pair.dst.copy_, pair.src)),),
    )


def _references(site: Site) -> Case:
    pair = _pair(site)
    dst, src = (MemRef(t.data_ptr(), t.numel(), t.device, owner=t) for t in (pair.dst, pair.src))
    copy = partial(site.backend.memcpy.copy_async, dst, src)
    return Case(copy, pair.reset, pair.check, "device", "device")


def _submission(site: Site) -> Case:
    pair = _pair(site)
    stream = site.backend.streams.create()
    return Case(
        partial(site.backend.memcpy.copy_async, pair.dst, pair.src, stream=stream),
        pair.reset,
        pair.check,
        "device",
        "device",
        submission=True,
        stream=stream,
    )
