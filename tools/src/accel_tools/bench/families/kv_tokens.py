"""New tokens into a cache (``write``), and sequences out of one (``gather``)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

from accel import Capability
from accel.kv import KVCache

from ..kv_cache import BenchCache, difference
from ..kv_setting import KVSetting
from ..site import Site
from ..torch_ways import gather_ways, scatter_ways
from ..workload import Case, Workload

__all__ = ["gathers", "writes"]

SEQUENCES = 8


def writes(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """The new keys and values of one layer to random slots (reshape-and-cache)."""
    del site
    name = f"write, one layer, {setting.tokens} tokens"

    def prepare(site: Site) -> Case:
        import torch

        shape, layer = setting.shape, setting.shape.layers // 2
        bench = BenchCache.make(site, "device", shape.paged_layout, shape, setting.pool_blocks)
        slots = setting.random_units(site, "token", name)
        new = []
        for plane in range(shape.planes):
            extents = (setting.tokens, shape.heads, shape.head_dim)
            new.append(site.empty("device", extents, shape.dtype))
            site.randomise(new[-1], site.generator(f"{name}, plane {plane}"))
        key, value = new[0], new[1] if len(new) > 1 else None

        def check() -> str:
            host = bench.comparable()
            given = KVCache([t.to(site.checking) for t in new], "K | T H D")
            written = host.select_layers(layer)
            order = torch.arange(setting.tokens)
            wrong = difference(given, written, order, slots, layers=[layer])
            others = [i for i in range(host.layers) if i != layer]
            if wrong or not others:
                return wrong
            none = torch.empty(0, dtype=torch.int64)
            untouched = host.select_layers(others)
            return difference(untouched, untouched, none, none, layers=others)

        ways = scatter_ways(
            KVCache(new, "K | T H D"), bench.cache.select_layers(layer), slots, "token"
        )
        call = partial(site.backend.kv.write, bench.cache, layer, key, value, site.index(slots))
        return Case(call, bench.poison, check, "device", "device", ways)

    nbytes = setting.tokens * setting.shape.layer_bytes
    labels = setting.labels(grain="token", dst_layout=setting.shape.paged_layout)
    foot = 2 * setting.bytes + 4 * nbytes
    yield Workload(name, (Capability.KV_WRITE,), nbytes, foot, prepare, labels)


def gathers(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Sequences of different lengths by block table into a contiguous cache."""
    del site
    batch = min(SEQUENCES, setting.tokens)
    name = f"gather, {batch} sequences, {setting.tokens} tokens"

    def prepare(site: Site) -> Case:
        import torch

        shape, size = setting.shape, setting.shape.block_size
        generator = site.generator(name)
        cuts = torch.randperm(setting.tokens - 1, generator=generator)[: batch - 1] + 1
        ends = [0, *sorted(cuts.tolist()), setting.tokens]
        lens = [end - start for start, end in pairwise(ends)]
        needed = [-(-n // size) for n in lens]
        # Every sequence may end within a block, so that they take more blocks than their tokens.
        pool = 2 * sum(needed)
        source = BenchCache.make(site, "device", shape.paged_layout, shape, pool).randomise(name)
        target = BenchCache.make(site, "device", "contiguous", shape, setting.blocks)
        drawn = iter(torch.randperm(pool, generator=generator).tolist())
        # Entries beyond a sequence's end must not be read: they are past the end of the cache.
        table = torch.full((batch, max(needed)), pool + 1)
        slots: list[int] = []
        for i, (n, blocks) in enumerate(zip(lens, needed, strict=True)):
            for j in range(blocks):
                block = next(drawn)
                table[i, j] = block
                slots += range(block * size, block * size + min(size, n - j * size))
        src, dst = torch.tensor(slots), torch.arange(setting.tokens)
        call = partial(
            site.backend.kv.gather,
            source.cache,
            target.cache,
            site.index(table),
            site.index(torch.tensor(lens)),
        )
        return Case(
            call,
            target.poison,
            lambda: difference(source.comparable(), target.comparable(), src, dst),
            "device",
            "device",
            gather_ways(source.cache, target.cache, src, "token"),
        )

    layout = setting.shape.paged_layout
    labels = setting.labels(grain="token", src_layout=layout, dst_layout="contiguous")
    foot = 7 * setting.bytes
    yield Workload(name, (Capability.KV_GATHER,), setting.bytes, foot, prepare, labels)
