"""Quantised writes and conversions, against torch's composition of the same arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from accel import Capability

from ..kv_cache import BenchCache, difference, unit_rows
from ..kv_setting import KVSetting
from ..site import Kind, Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

__all__ = ["conversions", "quantized_writes"]

#: Codes, and what shares a scale.
WRITES = (
    ("float8_e4m3fn", "tensor"), ("float8_e4m3fn", "head"), ("float8_e4m3fn", "token"),
    ("float8_e5m2", "tensor"), ("int8", "tensor"),
)  # fmt: skip

#: From, to, and the layout that is converted to.
CONVERSIONS = (
    ("bfloat16", "float8_e4m3fn", ""),
    ("float8_e4m3fn", "bfloat16", ""),
    ("bfloat16", "int8", ""),
    ("int8", "bfloat16", ""),
    ("bfloat16", "float16", ""),
    ("bfloat16", "float8_e4m3fn", "vllm_hnd"),
)

LARGEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
CODES = (*LARGEST, "int8")
SCALE = 0.0371


def quantized_writes(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """The new keys and values of one layer to random slots, as codes; and the calls of decoding."""
    del site
    for code, scales in WRITES:
        yield _write(f"quantized write, {code} per {scales}", setting, code, scales)
    for tokens in (1, 16):
        few = replace(setting, tokens=tokens)
        what = "call: quantized write"
        yield _write(what, few, "float8_e4m3fn", "tensor", submission=True)


def conversions(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """A whole cache into one of another dtype, and once of another layout."""
    del site
    for source, target, layout in CONVERSIONS:
        if not layout or setting.shape.planes == 2:
            yield _convert(setting.whole_blocks(), source, target, layout)


def _write(
    what: str, setting: KVSetting, code: str, scales: str, *, submission: bool = False
) -> Workload:
    tokens = setting.tokens
    name = f"{what}, {tokens} token{'s' if tokens > 1 else ''}"

    def prepare(site: Site) -> Case:
        import torch

        shape, layer = replace(setting.shape, dtype_name=code), setting.shape.layers // 2
        bench = BenchCache.make(site, "device", shape.paged_layout, shape, setting.pool_blocks)
        slots = setting.random_units(site, "token", name)
        extents = (tokens, shape.heads, shape.head_dim)
        generator = site.generator(name)
        rows = [_normal(site, extents, setting.shape.dtype, generator) for _ in range(shape.planes)]
        scale = _scale(scales, tokens, shape.heads, generator)
        device = bench.cache.device
        if isinstance(scale, torch.Tensor) and device.type != "cpu":
            scale = scale.to(device)
        factor = torch.as_tensor(scale, device=device)
        factor = factor.unsqueeze(-1) if factor.dim() else factor
        chosen = bench.cache.select_layers(layer)
        planes = [unit_rows(chosen, 0, plane, "token") for plane in range(shape.planes)]
        index = slots.to(device)

        def composed() -> None:
            for new, out in zip(rows, planes, strict=True):
                assert out is not None
                codes = _quantize(new.float() / factor, code).flatten(1).view(torch.uint8)
                out.view(torch.uint8).index_copy_(0, index, codes)

        def check() -> str:
            host = bench.comparable()
            by = factor.to(site.checking)
            wanted = [_quantize(new.to(site.checking).float() / by, code) for new in rows]
            kind: Kind = "device" if site.operators else "host"
            given = BenchCache.make(site, kind, "contiguous", shape, setting.blocks).cache
            for plane, codes in enumerate(wanted):
                into = unit_rows(given, layer, plane, "token")
                assert into is not None
                into[:tokens].view(torch.uint8).copy_(codes.flatten(1).view(torch.uint8))
            others = [i for i in range(host.layers) if i != layer]
            order = torch.arange(tokens)
            wrong = difference(
                given.select_layers(layer), host.select_layers(layer), order, slots, layers=[layer]
            )
            if wrong or not others:
                return wrong
            none = torch.empty(0, dtype=torch.int64)
            untouched = host.select_layers(others)
            return difference(untouched, untouched, none, none, layers=others)

        call = partial(
            site.backend.kv.write,
            bench.cache,
            layer,
            rows[0],
            rows[1] if len(rows) > 1 else None,
            site.index(slots),
            key_scale=scale,
            value_scale=scale if len(rows) > 1 else None,
        )
        way = TorchWay("float() / scale, clamp, to(), index_copy_ per plane", composed)
        ways = () if any(out is None for out in planes) else (way,)
        return Case(call, bench.poison, check, "device", "device", ways, submission)

    nbytes = tokens * setting.shape.layer_bytes
    labels = setting.labels(
        grain="token", dst_layout=setting.shape.paged_layout, codes=code, scales=scales
    )
    needs = (Capability.KV_WRITE_QUANTIZED,)
    touched = nbytes + tokens * replace(setting.shape, dtype_name=code).layer_bytes
    foot = 2 * setting.bytes + 12 * nbytes
    return Workload(name, needs, nbytes, foot, prepare, labels, touched)


def _convert(setting: KVSetting, source: str, target: str, layout: str) -> Workload:
    own = setting.shape.paged_layout
    into = layout or own
    where = "" if into == own else f" in {into}"
    name = f"convert {source} to {target}{where}, {setting.blocks} blocks"

    def prepare(site: Site) -> Case:
        import torch

        sides = [
            BenchCache.make(
                site, "device", form, replace(setting.shape, dtype_name=dtype), setting.blocks
            )
            for form, dtype in ((own, source), (into, target))
        ]
        src, dst = (side.cache for side in sides)
        generator = site.generator_there(name)
        for tensor in src.tensors:
            random = torch.randn(tensor.shape, generator=generator, device=generator.device)
            tensor.copy_(_quantize(random / SCALE, source) if source in CODES else random)
        multiply = SCALE if source in CODES else None
        divide = SCALE if target in CODES else None

        def values(x: torch.Tensor) -> torch.Tensor:
            if multiply is None and divide is None:
                return x
            y = x.float()
            y = y if multiply is None else y * multiply
            if divide is None:
                return y
            # Not a number: devices multiply by its inverse, which is not the same.
            return _quantize(y / torch.full((), divide, device=y.device), target)

        def composed() -> None:
            for layer in range(src.layers):
                for plane in range(src.planes):
                    dst.view(layer, plane).copy_(values(src.view(layer, plane)))

        def check() -> str:
            ours, theirs = (side.comparable() for side in sides)
            for layer in range(ours.layers):
                for plane in range(ours.planes):
                    dtype = theirs.view(layer, plane).dtype
                    want = values(ours.view(layer, plane)).to(dtype).contiguous()
                    have = theirs.view(layer, plane).contiguous()
                    if not torch.equal(have.view(torch.uint8), want.view(torch.uint8)):
                        return f"layer {layer} plane {plane} is not what torch makes of it"
            return ""

        call = partial(site.backend.kv.convert, src, dst, src_scale=multiply, dst_scale=divide)
        ways = (TorchWay("float() * or / scale, clamp, copy_ per plane", composed),)
        return Case(call, sides[1].poison, check, "device", "device", ways)

    size, made = (_payload(setting, dtype) for dtype in (source, target))
    labels = setting.labels(src_layout=own, dst_layout=into, src_dtype=source, dst_dtype=target)
    needs = (Capability.KV_CONVERT,)
    return Workload(name, needs, size, 2 * size + 4 * made, prepare, labels, size + made)


def _payload(setting: KVSetting, dtype: str) -> int:
    return setting.tokens * replace(setting.shape, dtype_name=dtype).token_bytes


def _normal(
    site: Site, extents: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    import torch

    rows = site.empty("device", extents, dtype)
    rows.copy_(torch.randn(extents, generator=generator))
    return rows


def _scale(
    shared: str, tokens: int, heads: int, generator: torch.Generator
) -> float | torch.Tensor:
    import torch

    if shared == "tensor":
        return SCALE
    shape = (heads,) if shared == "head" else (tokens, 1)
    return SCALE * (1 + torch.rand(shape, generator=generator))


def _quantize(x: torch.Tensor, code: str) -> torch.Tensor:
    """What torch composes of finite values over their scale; clamping says all about the others."""
    import torch

    dtype: torch.dtype = getattr(torch, code)
    if code == "int8":
        return x.round().clamp(-128, 127).to(dtype)
    most = LARGEST[code]
    return x.clamp(-most, most).to(dtype)
