"""What a staged copy may be given: two tensors of the same shape and dtype, one on each side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, DTypeError, FreedError, OverlapError, ShapeError
from ..tensor_overlap import overlaps_itself, share_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["check_pair", "check_stream", "check_tensor"]


def check_tensor(name: str, tensor: Any) -> torch.Tensor:
    """``tensor`` without autograd.

    Raises:
        DTypeError, FreedError: no tensor whose memory is there, with its values as they lie.
    """
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise DTypeError(name, "a tensor", type(tensor).__name__)
    if tensor.layout is not torch.strided:
        raise DTypeError(name, "a strided tensor", tensor.layout)
    if tensor.is_neg() or (tensor.is_complex() and tensor.is_conj()):
        raise DTypeError(
            name, "a tensor with its values in memory", "a lazily conjugated or negated view",
            "pass tensor.resolve_conj().resolve_neg()",
        )  # fmt: skip
    if tensor.numel():
        end = (tensor.storage_offset() + 1) * tensor.element_size() + _reach(tensor)
        if end > tensor.untyped_storage().nbytes():
            raise FreedError(name, "a tensor that still has its memory", "a released storage")
    return tensor.detach()


def check_stream(name: str, stream: Any) -> None:
    """Raise DTypeError unless ``stream`` is one, or None."""
    if stream is not None and not hasattr(stream, "record_event"):
        raise DTypeError(name, "a stream of the backend, or None", repr(stream))


def check_pair(
    dst_name: str, dst: torch.Tensor, src_name: str, src: torch.Tensor, device: torch.device
) -> None:
    """Raise unless ``src`` can be copied to ``dst``, and either is host memory or on ``device``.

    Raises:
        ShapeError, DTypeError, DeviceError: they do not fit.
        OverlapError: they share a byte, or places of ``dst`` do.
    """
    if dst.shape != src.shape:
        raise ShapeError(dst_name, f"{tuple(src.shape)} as {src_name} has", tuple(dst.shape))
    if dst.dtype != src.dtype:
        raise DTypeError(dst_name, f"{src.dtype} as {src_name} has", dst.dtype)
    for name, tensor in ((dst_name, dst), (src_name, src)):
        if tensor.device.type != "cpu" and tensor.device != device:
            raise DeviceError(name, f"host memory or {device}", tensor.device)
    if not dst.numel():
        return
    if not dst.is_contiguous() and overlaps_itself(dst):
        raise OverlapError(dst_name, "distinct elements", f"strides {tuple(dst.stride())}")
    first, second = dst.data_ptr(), src.data_ptr()
    near = first < second + _reach(src) + src.element_size()
    near = near and second < first + _reach(dst) + dst.element_size()
    if near and share_bytes(dst, src):
        raise OverlapError(dst_name, f"no byte of {src_name}", "a common byte")


def _reach(tensor: torch.Tensor) -> int:
    """Bytes from the first element to the last."""
    steps = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return int(steps * tensor.element_size())
