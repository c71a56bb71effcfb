"""``kv.transfer`` between any two caches; and its main rows, paged to contiguous and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from accel import Capability

from ..kv_cache import BenchCache, difference
from ..kv_setting import KVSetting
from ..site import Kind, Site
from ..torch_ways import gather_ways, scatter_ways
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

    from accel.kv.plan import Grain

__all__ = ["Side", "between_paged_and_contiguous", "transfer"]


@dataclass(frozen=True)
class Side:
    """One end of a transfer."""

    layout: str
    kind: Kind = "device"
    scattered: bool = True  #: random units of a pool; otherwise the first units, in order

    def blocks(self, setting: KVSetting) -> int:
        return setting.pool_blocks if self.scattered else setting.blocks

    def units(self, setting: KVSetting, site: Site, grain: Grain, what: str) -> torch.Tensor:
        if self.scattered:
            return setting.random_units(site, grain, what)
        return setting.units_in_order(grain)


def between_paged_and_contiguous(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Both directions at both grains, on the device and with the host."""
    paged = Side(setting.shape.paged_layout)
    kinds: list[Kind] = ["device", site.staging] if site.separate else ["device"]
    for kind in kinds:
        contiguous = Side("contiguous", kind, scattered=False)
        where = f" in {site.label(kind)} memory" if site.separate else ""
        grains: tuple[Grain, ...] = ("token", "block")
        for grain in grains:
            there = f"paged to contiguous{where}, {grain} grain"
            yield transfer(there, setting, paged, contiguous, grain)
            back = f"contiguous{where} to paged, {grain} grain"
            yield transfer(back, setting, contiguous, paged, grain)


def transfer(
    what: str,
    setting: KVSetting,
    src: Side,
    dst: Side,
    grain: Grain,
    *,
    submission: bool = False,
) -> Workload:
    """One row: ``setting.tokens`` tokens from ``src`` to ``dst``.

    Args:
        what: the row's name, to which the number of tokens is added.
        submission: time the host's part alone.
    """
    if grain == "block":
        setting = setting.whole_blocks()
    name = f"{what}, {setting.tokens} token{'s' if setting.tokens > 1 else ''}"

    def prepare(site: Site) -> Case:
        shape = setting.shape
        source = BenchCache.make(site, src.kind, src.layout, shape, src.blocks(setting))
        source.randomise(name)
        target = BenchCache.make(site, dst.kind, dst.layout, shape, dst.blocks(setting))
        src_units = src.units(setting, site, grain, f"{name}, source")
        dst_units = dst.units(setting, site, grain, f"{name}, destination")
        call = partial(
            site.backend.kv.transfer,
            source.cache,
            target.cache,
            site.index(src_units),
            site.index(dst_units),
            grain=grain,
        )

        def check() -> str:
            return difference(
                source.comparable(),
                target.comparable(),
                setting.token_slots(src_units, grain),
                setting.token_slots(dst_units, grain),
            )

        ways: tuple[TorchWay, ...] = ()
        if not src.scattered:
            ways = scatter_ways(source.cache, target.cache, dst_units, grain)
        elif not dst.scattered:
            ways = gather_ways(source.cache, target.cache, src_units, grain)
        return Case(call, target.poison, check, dst.kind, src.kind, ways, submission)

    need = Capability.KV_TRANSFER if grain == "token" else Capability.KV_TRANSFER_BLOCKS
    needs = [need]
    if "pinned" in (src.kind, dst.kind):
        needs.append(Capability.PINNED)
    # Both caches, the two buffers of the plain copy, and what checking takes.
    times = sum(2 if side.scattered else 1 for side in (src, dst)) + 3
    labels = setting.labels(grain=grain, src_layout=src.layout, dst_layout=dst.layout)
    return Workload(name, tuple(needs), setting.bytes, times * setting.bytes, prepare, labels)
