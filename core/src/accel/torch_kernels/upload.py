"""``upload_small``: through pinned memory of the backend's, in the stream's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeviceError, DTypeError, FreedError, ShapeError
from ..providers import KVUpload
from ..tensor_overlap import check_disjoint, check_distinct
from .queue import DeviceQueue, Queue

if TYPE_CHECKING:
    import torch

    from ..providers import Stream

__all__ = ["TorchUpload"]


class TorchUpload(KVUpload):
    """The pool hands pinned memory out again when the copy has run: it is the ring."""

    _queue: Queue

    def upload_small(
        self, dst: torch.Tensor, src: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        queue = self._queue
        queue.check(stream)
        _check(dst, src, queue.device)
        dst = dst.detach()
        if not dst.numel():
            return
        if isinstance(queue, DeviceQueue):
            staged = queue.staging(src.shape, src.dtype)
            staged.copy_(src)
            queue.to_device_at(dst, staged, stream)
            return
        taken = src.detach().clone()
        queue.submit(stream, lambda: dst.copy_(taken))


def _check(dst: object, src: object, device: torch.device) -> None:
    import torch

    for name, tensor in (("dst", dst), ("src", src)):
        if not isinstance(tensor, torch.Tensor):
            raise DTypeError(name, "a tensor", type(tensor).__name__)
        if tensor.layout is not torch.strided:
            raise DTypeError(name, "a strided tensor", tensor.layout)
    assert isinstance(dst, torch.Tensor)
    assert isinstance(src, torch.Tensor)
    if dst.device != device:
        raise DeviceError("dst", f"a tensor on {device}", dst.device)
    if src.device.type != "cpu":
        raise DeviceError("src", "a tensor in host memory", src.device)
    if src.dtype not in (torch.int32, torch.int64, torch.float32, torch.float64):
        raise DTypeError("src", "int32, int64, float32 or float64", src.dtype)
    if dst.dtype != src.dtype:
        raise DTypeError("dst", f"{src.dtype} as src", dst.dtype)
    if dst.shape != src.shape:
        raise ShapeError("dst", f"{tuple(src.shape)} as src", tuple(dst.shape))
    if not dst.is_contiguous():
        raise ShapeError("dst", "a contiguous tensor", f"strides {dst.stride()}")
    for name, tensor in (("dst", dst), ("src", src)):
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        end = (tensor.storage_offset() + last + 1) * tensor.element_size()
        if tensor.numel() and end > tensor.untyped_storage().nbytes():
            raise FreedError(name, "a tensor that still has its memory", "a released storage")
    check_distinct("dst", dst)
    check_disjoint("dst", dst, "src", src)
