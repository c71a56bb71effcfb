"""Whole blocks: ``copy_blocks`` within a cache, ``swap_blocks`` between device and host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from accel import Capability

from ..kv_cache import BenchCache, difference
from ..kv_setting import KVSetting
from ..site import Kind, Site
from ..workload import Case, Workload

__all__ = ["copies_within", "swaps"]


def copies_within(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Half of the blocks of a cache to the other half, at random."""
    del site
    whole = setting.whole_blocks()
    name = f"copy_blocks, {whole.blocks} blocks"

    def prepare(site: Site) -> Case:
        import torch

        shape, n = whole.shape, whole.blocks
        bench = BenchCache.make(site, "device", shape.paged_layout, shape, 2 * n).randomise(name)
        before = bench.snapshot()
        mapping = torch.randperm(2 * n, generator=site.generator(name)).view(2, n).T.contiguous()
        src, dst = (whole.token_slots(mapping[:, i], "block") for i in (0, 1))

        def restore() -> None:
            for ours, was in zip(bench.cache.tensors, before.tensors, strict=True):
                ours.copy_(was)

        return Case(
            partial(site.backend.kv.copy_blocks, bench.cache, site.index(mapping)),
            restore,
            lambda: difference(before, bench.comparable(), src, dst, before),
            "device",
            "device",
        )

    labels = whole.labels(grain="block", src_layout=whole.shape.paged_layout)
    needs = (Capability.KV_COPY_BLOCKS,)
    yield Workload(name, needs, whole.bytes, 7 * whole.bytes, prepare, labels)


def swaps(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Random blocks out to a cache in (pinned) host memory, and in from there."""
    whole = setting.whole_blocks()
    yield _swap(site, whole, "swap_blocks out", dst_kind=site.staging, src_kind="device")
    yield _swap(site, whole, "swap_blocks in", dst_kind="device", src_kind=site.staging)


def _swap(site: Site, setting: KVSetting, what: str, *, dst_kind: Kind, src_kind: Kind) -> Workload:
    way = f"{site.label(src_kind)} to {site.label(dst_kind)}"
    name = f"{what}, {way}, {setting.blocks} blocks"

    def prepare(site: Site) -> Case:
        import torch

        shape, pool = setting.shape, setting.pool_blocks
        source = BenchCache.make(site, src_kind, shape.paged_layout, shape, pool).randomise(name)
        target = BenchCache.make(site, dst_kind, shape.paged_layout, shape, pool)
        src = setting.random_units(site, "block", f"{name}, source")
        dst = setting.random_units(site, "block", f"{name}, destination")
        mapping = site.index(torch.stack([src, dst], dim=1))

        def check() -> str:
            out_of, into = (setting.token_slots(units, "block") for units in (src, dst))
            return difference(source.comparable(), target.comparable(), out_of, into)

        call = partial(site.backend.kv.swap_blocks, source.cache, target.cache, mapping)
        return Case(call, target.poison, check, dst_kind, src_kind)

    layout = setting.shape.paged_layout
    labels = setting.labels(grain="block", src_layout=layout, dst_layout=layout)
    needs = (Capability.KV_SWAP_BLOCKS,)
    return Workload(name, needs, setting.bytes, 7 * setting.bytes, prepare, labels)
