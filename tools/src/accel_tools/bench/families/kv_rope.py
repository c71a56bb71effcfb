"""Keys moved to other positions (``rope_reposition``), in a tensor and in a cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from accel import Capability
from accel.kv import Rope

from ..kv_cache import BenchCache
from ..kv_setting import KVSetting
from ..shapes import KVShape
from ..site import Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

    from accel.kv import KVCache

__all__ = ["repositions"]

NEEDS = (Capability.KV_ROPE,)
POSITIONS = 32768
BASE = 500000.0
#: How keys are rotated, in which dtypes; None is the shape's own.
KINDS = (
    ("neox", None), ("neox", "float16"), ("neox", "float32"), ("interleaved", None),
    ("cos_sin_cache", None),
)  # fmt: skip


def repositions(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """Random tokens to random positions, and a run of tokens by one step."""
    del site
    for kind, dtype in KINDS:
        shape = setting.shape if dtype is None else replace(setting.shape, dtype_name=dtype)
        if shape.dtype_name != setting.shape.dtype_name or dtype is None:
            yield _in_tensor(replace(setting, shape=shape), kind, alike=False)
            yield _in_cache(replace(setting, shape=shape), kind)
    yield _in_tensor(setting, "neox", alike=True)


@dataclass(frozen=True)
class _Turns:
    """What is asked of every row: a Rope, where tokens were and where they go."""

    rope: Rope
    dim: int
    old: torch.Tensor
    new: torch.Tensor

    @classmethod
    def make(cls, site: Site, setting: KVSetting, kind: str, what: str, alike: bool) -> _Turns:
        import torch

        shape, generator = setting.shape, site.generator(f"{what}, positions")
        offset = _first_rotated(shape)
        dim = shape.head_dim - offset
        old, new = (
            torch.randint(POSITIONS - 5000, (setting.tokens,), generator=generator)
            for _ in range(2)
        )
        if alike:
            new = old + 4321
        style = partial(Rope, interleaved=kind == "interleaved" or offset > 0, offset=offset)
        if kind != "cos_sin_cache":
            return cls(style(base=BASE), dim, old, new)
        inv_freq = torch.tensor(Rope(base=BASE).inv_freq(dim), dtype=torch.float64)
        angle = torch.arange(POSITIONS).double()[:, None] * inv_freq
        table = torch.cat([angle.cos(), angle.sin()], 1).to(shape.dtype)
        if site.separate:
            table = table.to(site.backend.device)
        return cls(style(cos_sin_cache=table), dim, old, new)

    def cos_sin(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """``[tokens, 1, pairs]`` in double precision, as the contract forms them."""
        import torch

        old, new = self.old.to(device), self.new.to(device)
        table = self.rope.cos_sin_cache
        if table is None:
            inv_freq = torch.tensor(self.rope.inv_freq(self.dim), dtype=torch.float64)
            angle = (new - old).double()[:, None] * inv_freq.to(device)
            return angle.cos()[:, None], angle.sin()[:, None]
        c_old, s_old = table.to(device)[old].double().chunk(2, -1)
        c_new, s_new = table.to(device)[new].double().chunk(2, -1)
        over = (c_old * c_old + s_old * s_old).reciprocal()
        return (
            ((c_new * c_old + s_new * s_old) * over)[:, None],
            ((s_new * c_old - c_new * s_old) * over)[:, None],
        )

    def turn(self, part: torch.Tensor, c: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Rotated channels ``[tokens, heads, dim]`` in the precision of the cosines."""
        import torch

        x = part.to(c.dtype)
        if self.rope.interleaved:
            a, b = x[..., ::2], x[..., 1::2]
            return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat((a * c - b * s, a * s + b * c), -1)

    def part(self, keys: torch.Tensor) -> torch.Tensor:
        """The channels that are rotated."""
        return keys[..., self.rope.offset : self.rope.offset + self.dim]

    def difference(self, got: torch.Tensor, before: torch.Tensor) -> str:
        """What is wrong with keys ``[tokens, heads, head_dim]`` after one call."""
        import torch

        want = before.clone()
        c, s = self.cos_sin(before.device)
        exact = self.turn(self.part(before), c, s)
        self.part(want).copy_(self.part(got))
        if not torch.equal(want.view(torch.uint8), got.view(torch.uint8)):
            return "channels that are not rotated were written"
        # One last place is at most eps of the value, and no value is longer than its head.
        length = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
        allowed = torch.finfo(got.dtype).eps * exact.abs() + 4 * 2.0**-24 * length
        wrong = (self.part(got).double() - exact).abs() > allowed
        if not wrong.any():
            return ""
        token, head, channel = wrong.nonzero()[0].tolist()
        return (
            f"token {token}, head {head}, channel {channel} is {float(self.part(got)[wrong][0])}, "
            f"must be {float(exact[wrong][0])}"
        )


def _random_keys(setting: KVSetting, site: Site, what: str) -> torch.Tensor:
    import torch

    extents = (setting.tokens, setting.shape.heads, setting.shape.head_dim)
    generator = site.generator_there(what)
    keys = torch.randn(extents, generator=generator, device=generator.device)
    return keys.to(setting.shape.dtype)


def _labels(setting: KVSetting, kind: str, **more: str) -> dict[str, str | int]:
    return setting.labels(rope=kind, **more)


def _first_rotated(shape: KVShape) -> int:
    """The rope part of MLA is its last 64 channels, in interleaved pairs."""
    return 512 if shape.planes == 1 and shape.head_dim > 512 else 0


def _rotated_bytes(shape: KVShape) -> int:
    """Of one token in one layer."""
    return shape.heads * (shape.head_dim - _first_rotated(shape)) * shape.dtype.itemsize


def _in_tensor(setting: KVSetting, kind: str, alike: bool) -> Workload:
    """Keys ``[tokens, heads, head_dim]``, as of one layer of a chunk."""
    shape = setting.shape
    by = "one step" if alike else "random steps"
    name = f"rope_reposition {kind} {shape.dtype_name}, tensor, {by}, {setting.tokens} tokens"
    nbytes = setting.tokens * _rotated_bytes(shape)

    def prepare(site: Site) -> Case:
        turns = _Turns.make(site, setting, kind, name, alike)
        before = _random_keys(setting, site, name)
        keys = site.empty("device", before.shape, before.dtype)
        call = partial(
            site.backend.kv.rope_reposition,
            keys,
            site.index(turns.old),
            site.index(turns.new),
            turns.rope,
        )

        def reset() -> None:
            keys.copy_(before)

        def torch_way() -> None:
            c, s = turns.cos_sin(keys.device)
            part = turns.part(keys)
            part.copy_(turns.turn(part, c.float(), s.float()))

        return Case(
            call,
            reset,
            lambda: turns.difference(keys.to(before.device), before),
            "device",
            "device",
            (TorchWay("the same arithmetic by operators", torch_way),),
        )

    return Workload(name, NEEDS, nbytes, 40 * nbytes, prepare, _labels(setting, kind))


def _in_cache(setting: KVSetting, kind: str) -> Workload:
    """Random slots of the shape's paged cache, in all layers."""
    shape = setting.shape
    name = f"rope_reposition {kind} {shape.dtype_name}, cache, {setting.tokens} tokens"
    nbytes = setting.tokens * shape.layers * _rotated_bytes(shape)

    def prepare(site: Site) -> Case:
        turns = _Turns.make(site, setting, kind, name, alike=False)
        bench = BenchCache.make(site, "device", shape.paged_layout, shape, setting.pool_blocks)
        bench.randomise(name)
        slots = setting.random_units(site, "token", name)
        index = slots.to(bench.cache.device)
        keys = _random_keys(setting, site, f"{name}, keys")
        rows = [
            bench.cache.view(layer).view(-1, shape.heads, shape.head_dim)
            for layer in range(shape.layers)
        ]
        for row in rows:
            row[index] = keys.to(row.device)
        before = bench.snapshot()
        call = partial(
            site.backend.kv.rope_reposition,
            bench.cache,
            site.index(turns.old),
            site.index(turns.new),
            turns.rope,
            slots=site.index(slots),
        )

        def reset() -> None:
            for ours, was in zip(bench.cache.tensors, before.tensors, strict=True):
                ours.copy_(was)

        def torch_way() -> None:
            c, s = (t.float() for t in turns.cos_sin(bench.cache.device))
            for row in rows:
                taken = row[index]
                part = turns.part(taken)
                part.copy_(turns.turn(part, c, s))
                row.index_put_((index,), taken)

        return Case(
            call,
            reset,
            lambda: _cache_difference(bench, turns, slots.to(keys.device), keys, before),
            "device",
            "device",
            (TorchWay("index, rotate, index_put_ per layer", torch_way),),
        )

    labels = _labels(setting, kind, dst_layout=shape.paged_layout)
    keys = setting.tokens * shape.layers * shape.elements * shape.dtype.itemsize
    foot = 4 * setting.pool_blocks * shape.block_size * shape.token_bytes + 40 * keys
    return Workload(name, NEEDS, nbytes, foot, prepare, labels)


def _cache_difference(
    bench: BenchCache, turns: _Turns, slots: torch.Tensor, keys: torch.Tensor, before: KVCache
) -> str:
    import torch

    host = bench.comparable()
    for layer in range(host.layers):
        now, was = (c.view(layer).reshape(-1, *keys.shape[1:]) for c in (host, before))
        wrong = turns.difference(now[slots], keys)
        if wrong:
            return f"layer {layer}: {wrong}"
        rest = torch.ones(len(now), dtype=torch.bool, device=now.device)
        rest[slots] = False
        if not _same_bytes(now[rest], was[rest]):
            return f"layer {layer}: a slot was written that must not be"
        for plane in range(1, host.planes):
            if not _same_bytes(host.view(layer, plane), before.view(layer, plane)):
                return f"layer {layer}: plane {plane} was written"
    return ""


def _same_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    import torch

    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
