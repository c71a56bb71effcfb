"""Defects of small uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import accel

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]


def _upload(change: Callable[..., None]) -> Any:
    """Kernels whose upload is ``change``, given the good kernels and the arguments."""

    def upload_small(self: Any, dst: Any, src: Any, *, stream: Any = None) -> None:
        change(self.inner, dst, src, raw(stream))

    return type("BrokenUpload", (WrappedKV,), {"upload_small": upload_small})


def _read_late(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    if isinstance(src, torch.Tensor) and src.shape == getattr(dst, "shape", None) and stream:
        accel.get_backend("cpu").memcpy.copy_async(dst, src, stream)
    else:
        kv.upload_small(dst, src, stream=stream)


def _large_read_late(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    large = isinstance(src, torch.Tensor) and src.nbytes > 4096
    (_read_late if large else _good)(kv, dst, src, stream)


def _good(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    kv.upload_small(dst, src, stream=stream)


def _truncated(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    if isinstance(src, torch.Tensor) and src.nbytes > 4096 and src.dim() == 1:
        most = 4096 // src.element_size()
        dst, src = dst[:most], src[:most]
    _good(kv, dst, src, stream)


def _strides_lost(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    if isinstance(src, torch.Tensor) and src.device.type == "cpu" and not src.is_contiguous():
        flat = src.untyped_storage()
        start = src.storage_offset()
        whole = torch.empty(0, dtype=src.dtype).set_(flat)
        if start + src.numel() <= len(whole):
            src = whole[start : start + src.numel()].view(src.shape)
    _good(kv, dst, src, stream)


def _stream_ignored(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    kv.upload_small(dst, src)


def _converts(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    if isinstance(src, torch.Tensor) and isinstance(dst, torch.Tensor) and src.dtype != dst.dtype:
        src = src.to(dst.dtype)
    _good(kv, dst, src, stream)


def _ring_of_one(kv: Any, dst: Any, src: Any, stream: Any) -> None:
    """One staging buffer for all calls: the next call overwrites what is still to be copied."""
    sound = isinstance(src, torch.Tensor) and isinstance(dst, torch.Tensor) and stream is not None
    if not sound or src.shape != dst.shape or src.nbytes > len(_RING):
        return _good(kv, dst, src, stream)
    slot = _RING[: src.nbytes].view(src.dtype).view(src.shape)
    slot.copy_(src)
    return accel.get_backend("cpu").memcpy.copy_async(dst, slot, stream)


_RING = torch.zeros(1 << 20, dtype=torch.uint8)

DEFECTS = (
    Defect("upload-read-late", ("L2-kv::upload_snapshot[*]",), kv=_upload(_read_late)),
    Defect(
        "upload-large-read-late", ("L2-kv::upload_snapshot[*50000*]",),
        kv=_upload(_large_read_late),
    ),
    Defect("upload-truncated", ("L2-kv::upload_lengths[*]",), kv=_upload(_truncated)),
    Defect("upload-strides-lost", ("L2-kv::upload_forms[*]",), kv=_upload(_strides_lost)),
    Defect(
        "upload-stream-ignored", ("L2-kv::upload_snapshot[*]",), kv=_upload(_stream_ignored)
    ),
    Defect("upload-converts", ("L2-kv::upload_refused[dtype]",), kv=_upload(_converts)),
    Defect("upload-ring-of-one", ("L2-kv::upload_many",), kv=_upload(_ring_of_one)),
)  # fmt: skip
