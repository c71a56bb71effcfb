"""Argument checks of ``quantize`` and ``dequantize`` that backends share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DeviceError, DTypeError, FreedError, ShapeError
from ..tensor_overlap import check_disjoint, check_distinct
from .quantization import QuantSpec

if TYPE_CHECKING:
    import torch

__all__ = ["check_dequantize", "check_quantize", "check_spec"]

_VALUE_DTYPES = ("float16", "bfloat16", "float32")


def check_spec(spec: object) -> QuantSpec:
    """``spec``, if it is a QuantSpec.

    Raises:
        DTypeError: otherwise.
    """
    if not isinstance(spec, QuantSpec):
        raise DTypeError("spec", "a QuantSpec", type(spec).__name__)
    return spec


def check_quantize(
    x: object,
    codes: object,
    scales: object,
    offsets: object,
    spec: QuantSpec,
    device_types: tuple[str, ...],
) -> None:
    """All that the contract asks of ``quantize``'s tensors.

    Args:
        device_types: of the devices that the backend reaches; all operands are on one device.

    Raises:
        ArgumentError, DTypeError, ShapeError, SizeError, DeviceError, FreedError, OverlapError: see
            :class:`accel.providers.KVQuantize`.
    """
    values, written = _check_operands("x", x, codes, scales, offsets, spec, device_types)
    for name, tensor in written.items():
        check_distinct(name, tensor)
    done: dict[str, torch.Tensor] = {"x": values}
    for name, tensor in written.items():
        for other_name, other in done.items():
            check_disjoint(name, tensor, other_name, other)
        done[name] = tensor


def check_dequantize(
    codes: object,
    scales: object,
    offsets: object,
    out: object,
    spec: QuantSpec,
    device_types: tuple[str, ...],
) -> None:
    """All that the contract asks of ``dequantize``'s tensors; as :func:`check_quantize`."""
    written, read = _check_operands("out", out, codes, scales, offsets, spec, device_types)
    check_distinct("out", written)
    for name, tensor in read.items():
        check_disjoint("out", written, name, tensor)


def _check_operands(
    name: str,
    values: object,
    codes: object,
    scales: object,
    offsets: object,
    spec: QuantSpec,
    device_types: tuple[str, ...],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The floating-point values, called ``name``, and the other operands by name."""
    if spec.symmetric and offsets is not None:
        raise ArgumentError("offsets", "None, as the spec is symmetric", _kind(offsets))
    if not spec.symmetric and offsets is None:
        raise ArgumentError("offsets", "a tensor, as the spec is asymmetric", None)
    known = _check_tensor(name, values, _VALUE_DTYPES)
    if known.device.type not in device_types:
        raise DeviceError(name, f"a tensor on {' or '.join(device_types)}", known.device)
    codes_shape = spec.codes_shape(known.shape, name)
    scales_shape = spec.scales_shape(known.shape, name)
    code_dtype = str(spec.codes_dtype).removeprefix("torch.")
    others = {
        "codes": _check_tensor("codes", codes, (code_dtype,)),
        "scales": _check_tensor("scales", scales, ("float32",)),
    }
    if offsets is not None:
        others["offsets"] = _check_tensor("offsets", offsets, ("float32",))
    for other_name, tensor in others.items():
        expected = codes_shape if other_name == "codes" else scales_shape
        if tensor.device != known.device:
            raise DeviceError(other_name, f"device {known.device} as {name}", tensor.device)
        if tuple(tensor.shape) != expected:
            raise ShapeError(
                other_name,
                f"{list(expected)} for {name} of shape {list(known.shape)}",
                list(tensor.shape),
            )
    packed = others["codes"]
    if spec.dtype == "int4" and packed.shape[-1] > 1 and packed.stride(-1) != 1:
        raise ShapeError(
            "codes", "int4 codes that lie side by side along channels", f"strides {packed.stride()}"
        )
    for other_name, tensor in {name: known, **others}.items():
        _check_alive(other_name, tensor)
    return known, others


def _check_tensor(name: str, tensor: object, dtypes: Sequence[str]) -> torch.Tensor:
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise DTypeError(name, f"a tensor of {' or '.join(dtypes)}", _kind(tensor))
    if str(tensor.dtype).removeprefix("torch.") not in dtypes:
        raise DTypeError(name, " or ".join(dtypes), tensor.dtype)
    if tensor.layout is not torch.strided:
        raise DTypeError(name, "a strided tensor", tensor.layout)
    if tensor.is_neg():
        raise DTypeError(
            name,
            "a tensor whose bytes are its values",
            "a lazily negated view",
            "pass tensor.resolve_neg()",
        )
    return tensor


def _check_alive(name: str, tensor: torch.Tensor) -> None:
    if not tensor.numel():
        return
    last = tensor.storage_offset() + sum(
        (n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)
    )
    if (last + 1) * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise FreedError(name, "a tensor that still has its memory", "a released storage")


def _kind(value: object) -> str:
    return type(value).__name__
