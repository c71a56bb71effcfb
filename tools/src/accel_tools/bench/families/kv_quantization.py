"""Quantising keys and values, and back: every code, along every axis, against torch's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, get_args

from accel import Capability
from accel.kv import Quantized, QuantSpec
from accel.kv.quantization import Axis, CodeDType

from ..kv_setting import KVSetting
from ..site import Site
from ..workload import Case, TorchWay, Workload

if TYPE_CHECKING:
    import torch

__all__ = ["quantized"]

GROUP = 32
BINS = 33
NEEDS = (Capability.KV_QUANTIZE,)


def quantized(site: Site, setting: KVSetting) -> Iterator[Workload]:
    """The keys of some layers, quantised and brought back; and one token, for the call's cost."""
    for spec in _specs():
        if spec.axis == "group" and setting.shape.elements % spec.group_size:
            continue
        yield _quantize(setting, spec, site.separate)
        yield _dequantize(setting, spec, site.separate)
    yield _quantize(setting, QuantSpec(), site.separate, one_token=True)
    yield _dequantize(setting, QuantSpec(), site.separate, one_token=True)


def _specs() -> Iterator[QuantSpec]:
    codes: tuple[CodeDType, ...] = get_args(CodeDType)
    axes: tuple[Axis, ...] = get_args(Axis)
    for dtype, axis, symmetric in product(codes, axes, (True, False)):
        if symmetric or not dtype.startswith("float8"):
            bins = BINS if dtype == "uint8" else 0
            yield QuantSpec(dtype, axis, GROUP if axis == "group" else 0, symmetric, bins)


def _name(what: str, spec: QuantSpec, one_token: bool) -> str:
    sides = "symmetric" if spec.symmetric else "asymmetric"
    call = f"{what} {spec.dtype}, {sides}, a scale per {spec.axis}"
    return f"call: {call}, one token" if one_token else call


def _shape(setting: KVSetting, one_token: bool, separate: bool) -> tuple[int, int, int]:
    """[layers, tokens, channels]: as many layers as make a MiB, no more than the model has.

    On a device that is not the host, as many as make 256 MiB: less does not fill it.
    """
    tokens = 1 if one_token else setting.tokens
    wanted = max(1, (1 << (27 if separate else 19)) // (tokens * setting.shape.elements))
    return 1 if one_token else min(setting.shape.layers, wanted), tokens, setting.shape.elements


def _values(site: Site, setting: KVSetting, shape: tuple[int, int, int], what: str) -> torch.Tensor:
    """Ordinary numbers: random bytes would have NaNs, and ranges without bounds."""
    import torch

    x = site.empty("device", shape, setting.shape.dtype)
    generator = site.generator_there(what)
    for layer in x:
        layer.copy_(torch.randn(layer.shape, generator=generator, device=generator.device))
    return x


def _allocate(site: Site, spec: QuantSpec, shape: tuple[int, int, int]) -> Quantized:
    import torch

    scales = spec.scales_shape(shape)
    return Quantized(
        site.empty("device", spec.codes_shape(shape), spec.codes_dtype),
        site.empty("device", scales, torch.float32),
        None if spec.symmetric else site.empty("device", scales, torch.float32),
    )


def _workload(
    name: str,
    setting: KVSetting,
    spec: QuantSpec,
    one_token: bool,
    separate: bool,
    prepare: Callable[[Site], Case],
) -> Workload:
    layers, tokens, channels = shape = _shape(setting, one_token, separate)
    nbytes = layers * tokens * channels * setting.shape.dtype.itemsize
    labels = setting.labels(
        code=spec.dtype, axis=spec.axis, symmetric=int(spec.symmetric), layers=layers
    )
    codes = math.prod(spec.codes_shape(shape)) * spec.codes_dtype.itemsize
    scales = 4 * math.prod(spec.scales_shape(shape)) * (1 if spec.symmetric else 2)
    labels = {**labels, "tokens": tokens}
    return Workload(name, NEEDS, nbytes, 16 * nbytes, prepare, labels, nbytes + codes + scales)


def _quantize(
    setting: KVSetting, spec: QuantSpec, separate: bool, one_token: bool = False
) -> Workload:
    name = _name("quantize", spec, one_token)

    def prepare(site: Site) -> Case:
        shape = _shape(setting, one_token, separate)
        x = _values(site, setting, shape, name)
        made = _allocate(site, spec, shape)
        expected = spec.allocate(shape, site.checking)
        _torch_quantize(x.to(site.checking), expected, spec)

        def reset() -> None:
            for t in made:
                if t is not None:
                    site.poison(t)

        return Case(
            partial(site.backend.kv.quantize, x, *made, spec=spec),
            reset,
            lambda: _difference(made, expected),
            "device",
            "device",
            (TorchWay("operators", partial(_torch_quantize, x, made, spec)),),
            submission=one_token,
        )

    return _workload(name, setting, spec, one_token, separate, prepare)


def _dequantize(
    setting: KVSetting, spec: QuantSpec, separate: bool, one_token: bool = False
) -> Workload:
    name = _name("dequantize", spec, one_token)

    def prepare(site: Site) -> Case:
        import torch

        shape = _shape(setting, one_token, separate)
        out = _values(site, setting, shape, name)
        given, made = spec.allocate(shape, site.checking), _allocate(site, spec, shape)
        _torch_quantize(out.to(site.checking), given, spec)
        for ours, theirs in zip(made, given, strict=True):
            if ours is not None and theirs is not None:
                ours.copy_(theirs)
        expected = torch.empty(shape, dtype=out.dtype, device=site.checking)
        _torch_dequantize(given, expected, spec)
        return Case(
            partial(site.backend.kv.dequantize, *made, out, spec=spec),
            partial(site.poison, out),
            lambda: _bytes_differ("value", out, expected),
            "device",
            "device",
            (TorchWay("operators", partial(_torch_dequantize, made, out, spec)),),
            submission=one_token,
        )

    return _workload(name, setting, spec, one_token, separate, prepare)


def _torch_quantize(x: torch.Tensor, made: Quantized, spec: QuantSpec) -> None:
    """The same arithmetic by torch, in place wherever that saves a copy.

    For finite values, and nothing that shares a scale all zero.
    """
    import torch

    values = x.float()
    # Not a number: devices multiply by its inverse, which is not the same.
    most = torch.full((), float(spec.steps), device=x.device)
    if spec.axis == "group":
        values = values.reshape(*x.shape[:-1], -1, spec.group_size)
    dim = -2 if spec.axis == "channel" else -1
    if made.offsets is None:
        scale = values.abs().amax(dim, keepdim=True).div_(most)
        steps = values / scale
    else:
        offset = values.amin(dim, keepdim=True)
        scale = (values.amax(dim, keepdim=True) - offset).div_(most)
        steps = (values - offset).div_(scale)
        made.offsets.copy_(offset.squeeze(dim))
    made.scales.copy_(scale.squeeze(dim))
    if spec.is_float:
        made.codes.copy_(steps.clamp_(-spec.steps, spec.steps).reshape(x.shape))
        return
    steps = steps.round_()
    if spec.zero:
        steps = steps.add_(spec.zero)
    steps = steps.clamp_(spec.lowest, spec.highest).reshape(x.shape)
    if spec.dtype == "int4":
        nibbles = steps.to(torch.int8).view(torch.uint8)
        torch.bitwise_or(nibbles[..., 0::2] & 15, nibbles[..., 1::2] << 4, out=made.codes)
    else:
        made.codes.copy_(steps)


def _torch_dequantize(made: Quantized, out: torch.Tensor, spec: QuantSpec) -> None:
    import torch

    codes = made.codes
    if spec.dtype == "int4":
        packed = codes.view(torch.int8)
        codes = torch.stack([(packed << 4) >> 4, packed >> 4], -1).flatten(-2)
    values = codes.float()
    if spec.axis == "group":
        values = values.reshape(*out.shape[:-1], -1, spec.group_size)
    dim = -2 if spec.axis == "channel" else -1
    if spec.zero:
        values = values.sub_(spec.zero)
    values = values.mul_(made.scales.unsqueeze(dim))
    if made.offsets is not None:
        values = values.add_(made.offsets.unsqueeze(dim))
    out.copy_(values.reshape(out.shape))


def _difference(made: Quantized, expected: Quantized) -> str:
    for name, ours, theirs in zip(("code", "scale", "offset"), made, expected, strict=True):
        if ours is not None and theirs is not None:
            wrong = _bytes_differ(name, ours, theirs)
            if wrong:
                return wrong
    return ""


def _bytes_differ(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> str:
    import torch

    got, wanted = (
        t.to(theirs.device).contiguous().view(-1).view(torch.uint8) for t in (ours, theirs)
    )
    if torch.equal(got, wanted):
        return ""
    at = int((got != wanted).nonzero()[0])
    return f"{name} {at // ours.element_size()} is not what torch makes of it"
