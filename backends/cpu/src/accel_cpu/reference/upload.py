"""Small uploads by ``Tensor.copy_``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.errors import DTypeError, ShapeError
from accel.providers import KVUpload, Stream

from .memcpy import checked_pair
from .streams import check_stream

if TYPE_CHECKING:
    import torch

__all__ = ["ReferenceKVUpload"]


class ReferenceKVUpload(KVUpload):
    """The stream runs everything at once, so nothing has to be kept."""

    def upload_small(
        self, dst: torch.Tensor, src: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        import torch

        check_stream(stream)
        for name, tensor in (("dst", dst), ("src", src)):
            if not isinstance(tensor, torch.Tensor):
                raise DTypeError(name, "a tensor", type(tensor).__name__)
        target, source = checked_pair(dst, src, "dst", "src")
        if src.dtype not in (torch.int32, torch.int64, torch.float32, torch.float64):
            raise DTypeError("src", "int32, int64, float32 or float64", src.dtype)
        if not dst.is_contiguous():
            raise ShapeError("dst", "a contiguous tensor", f"strides {dst.stride()}")
        target.copy_(source)
