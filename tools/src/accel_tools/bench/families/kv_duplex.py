"""Out to the host and in from there at once: two streams, two halves of the link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel import Capability

from ..kv_cache import BenchCache, difference
from ..kv_setting import KVSetting
from ..site import Kind, Site
from ..workload import Case, Workload

if TYPE_CHECKING:
    import torch

    from accel import Stream
    from accel.kv.plan import Grain

__all__ = ["both_ways"]

Call = Callable[["Stream"], object]

#: Destination and source of the plain copies.
DIRECTIONS: tuple[tuple[Kind, Kind], ...] = (("pinned", "device"), ("device", "pinned"))


def both_ways(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Paged to pinned and pinned to paged at the same time; the payload counts both."""
    if site.separate and site.has("pinned"):
        grains: tuple[Grain, ...] = ("token", "block")
        for grain in grains:
            yield _both(setting, grain)


@dataclass(frozen=True)
class _Way:
    """One of the two transfers."""

    source: BenchCache
    target: BenchCache
    units: tuple[torch.Tensor, torch.Tensor]
    grain: Grain

    @classmethod
    def make(cls, site: Site, setting: KVSetting, grain: Grain, out: bool, what: str) -> _Way:
        """Random pages to the host, or from there to random pages."""
        shape = setting.shape
        pages = BenchCache.make(site, "device", shape.paged_layout, shape, setting.pool_blocks)
        held = BenchCache.make(site, "pinned", "contiguous", shape, setting.blocks)
        paged, plain = setting.random_units(site, grain, what), setting.units_in_order(grain)
        if out:
            return cls(pages.randomise(what), held, (paged, plain), grain)
        return cls(held.randomise(what), pages, (plain, paged), grain)

    def call(self, site: Site) -> Call:
        src, dst = (site.index(side) for side in self.units)
        transfer = site.backend.kv.transfer
        caches = self.source.cache, self.target.cache
        return lambda stream: transfer(*caches, src, dst, grain=self.grain, stream=stream)

    def difference(self, setting: KVSetting) -> str:
        src, dst = (setting.token_slots(side, self.grain) for side in self.units)
        return difference(self.source.comparable(), self.target.comparable(), src, dst)


def _both(setting: KVSetting, grain: Grain) -> Workload:
    if grain == "block":
        setting = setting.whole_blocks()
    tokens = f"{setting.tokens} tokens"
    name = f"paged and contiguous in pinned memory, both ways, {grain} grain, {tokens}"

    def prepare(site: Site) -> Case:
        ways = {
            what: _Way.make(site, setting, grain, what == "out", f"{name}, {what}")
            for what in ("out", "in")
        }
        both = _AtOnce(site, [way.call(site) for way in ways.values()])
        plain = _AtOnce(site, [_plain(site, setting, *kinds) for kinds in DIRECTIONS])

        def reset() -> None:
            for way in ways.values():
                way.target.poison()

        def check() -> str:
            for what, way in ways.items():
                wrong = way.difference(setting)
                if wrong:
                    return f"{what}: {wrong}"
            return ""

        what = "memcpy.copy_async, device and pinned, both ways at once"
        return Case(both.call, reset, check, "device", "pinned", plain=((what, plain.call),))

    need = Capability.KV_TRANSFER if grain == "token" else Capability.KV_TRANSFER_BLOCKS
    needs = (need, Capability.PINNED, Capability.STREAMS, Capability.EVENTS)
    labels = setting.labels(grain=grain, src_layout=setting.shape.paged_layout)
    return Workload(name, needs, 2 * setting.bytes, 10 * setting.bytes, prepare, labels)


def _plain(site: Site, setting: KVSetting, dst: Kind, src: Kind) -> Call:
    import torch

    into, out_of = (site.empty(kind, setting.bytes, torch.uint8) for kind in (dst, src))
    site.randomise(out_of, site.generator("plain copy"))
    copy = site.backend.memcpy.copy_async
    return lambda stream: copy(into, out_of, stream)


class _AtOnce:
    """Two calls on two streams of their own, between two points of the current stream."""

    def __init__(self, site: Site, calls: list[Call]) -> None:
        create = site.backend.streams.create
        self._site = site
        self._calls = [(call, create()) for call in calls]
        self._start = site.backend.events.create()
        self._ends = [site.backend.events.create() for _ in calls]

    def call(self) -> None:
        """Queue both."""
        current = self._site.backend.streams.current()
        current.record_event(self._start)
        for (call, stream), end in zip(self._calls, self._ends, strict=True):
            stream.wait_event(self._start)
            call(stream)
            stream.record_event(end)
        for end in self._ends:
            current.wait_event(end)
