"""Argument checks that entropy coders of every backend share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
)
from .codec_format import MOST_BINS, MOST_EXTENT, encode_bound

if TYPE_CHECKING:
    import torch

__all__ = [
    "check_apart",
    "check_bins",
    "check_encode_out",
    "check_encoded",
    "check_model",
    "check_symbols",
]

_BYTES = ("torch.uint8", "torch.int8")


def check_bins(bins: object) -> int:
    """``bins``, if a model can have as many."""
    if isinstance(bins, bool) or not isinstance(bins, int):
        raise DTypeError("bins", "an int", type(bins).__name__)
    if not 1 <= bins <= MOST_BINS:
        raise ArgumentError("bins", f"1 to {MOST_BINS}", bins)
    return bins


def check_symbols(
    symbols: object,
    device_types: Sequence[str],
    argument: str = "symbols",
    *,
    written: bool = False,
) -> torch.Tensor:
    """``symbols`` as uint8 ``[layers, tokens, channels]``.

    If it is ``written`` to, channels lie side by side and no two elements share memory.
    """
    tensor = _tensor(symbols, argument, _BYTES, device_types)
    if tensor.dim() != 3 or max(tensor.shape) >= MOST_EXTENT:
        raise ShapeError(argument, "[layers, tokens, channels]", list(tensor.shape))
    import torch

    tensor = tensor.detach().view(torch.uint8)
    if written and tensor.numel():
        _check_written(tensor, argument)
    return tensor


def check_model(
    model: object, layers: int, channels: int, device_types: Sequence[str]
) -> torch.Tensor:
    """``model``, if it is int16 ``[layers, channels, bins + 1]``; its values are not looked at."""
    tensor = _tensor(model, "model", ("torch.int16",), device_types)
    if tensor.dim() != 3 or tuple(tensor.shape[:2]) != (layers, channels):
        raise ShapeError("model", f"[{layers}, {channels}, bins + 1]", list(tensor.shape))
    if not 2 <= tensor.shape[2] <= MOST_BINS + 1:
        raise ShapeError("model", f"1 to {MOST_BINS} bins", tensor.shape[2] - 1)
    return tensor.detach()


def check_encode_out(
    out: object, shape: Sequence[int], device_types: Sequence[str], others: dict[str, torch.Tensor]
) -> torch.Tensor:
    """``out``, if it is contiguous uint8 with room for symbols of this shape and shares nothing."""
    tensor = check_encoded(out, device_types, "out")
    need = encode_bound(shape)
    if tensor.numel() < need:
        raise SizeError("out", f"at least {need} bytes (encode_bound)", tensor.numel())
    check_apart(tensor, "out", others)
    return tensor


def check_encoded(
    data: object, device_types: Sequence[str], argument: str = "data"
) -> torch.Tensor:
    """``data``, if it is a contiguous uint8 vector."""
    tensor = _tensor(data, argument, ("torch.uint8",), device_types)
    if tensor.dim() != 1 or (tensor.numel() > 1 and tensor.stride(0) != 1):
        raise ShapeError(argument, "[bytes], contiguous", list(tensor.shape))
    return tensor.detach()


def check_apart(written: torch.Tensor, argument: str, others: dict[str, torch.Tensor]) -> None:
    """Refuse ``others`` whose bounds meet those of ``written``."""
    begin, end = _bounds(written)
    for name, other in others.items():
        first, last = _bounds(other)
        if first < end and begin < last:
            raise OverlapError(argument, f"memory apart from {name}", "memory that they share")


def _tensor(
    given: object, argument: str, dtypes: Sequence[str], device_types: Sequence[str]
) -> torch.Tensor:
    import torch

    if not isinstance(given, torch.Tensor) or given.layout != torch.strided:
        raise DTypeError(argument, "a dense tensor", type(given).__name__)
    if str(given.dtype) not in dtypes:
        raise DTypeError(argument, " or ".join(dtypes), given.dtype)
    if given.device.type not in device_types:
        raise DeviceError(argument, f"a tensor on {' or '.join(device_types)}", given.device)
    if given.numel() and given.untyped_storage().nbytes() == 0:
        raise FreedError(argument, "a tensor that still has its memory", "a released storage")
    return given


def _check_written(tensor: torch.Tensor, argument: str) -> None:
    given = f"strides {list(tensor.stride())}"
    if tensor.shape[2] > 1 and tensor.stride(2) != 1:
        cure = "decode into a contiguous tensor and copy it"
        raise ShapeError(argument, "channels side by side (stride 1)", given, cure)
    reach = 1
    for stride, extent in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if extent > 1:
            if stride < reach:
                raise OverlapError(argument, "elements with memory of their own", given)
            reach += stride * (extent - 1)


def _bounds(tensor: torch.Tensor) -> tuple[int, int]:
    if not tensor.numel():
        return 0, 0
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    begin = tensor.data_ptr()
    return begin, begin + (last + 1) * tensor.element_size()
