"""Defects of copies and fills."""

from __future__ import annotations

import ctypes
from typing import Any

import accel

from .defect import Defect
from .wrapping import WrappedMemcpy, raw

__all__ = ["DEFECTS"]


def _memcpy(**members: Any) -> Any:
    return type("BrokenMemcpy", (WrappedMemcpy,), members)


def _both(function: Any) -> Any:
    """The same replacement for copy and copy_async."""
    return _memcpy(copy=function("copy"), copy_async=function("copy_async"))


def _short(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        flat = hasattr(dst, "numel") and hasattr(src, "numel") and dst.is_contiguous()
        if flat and src.is_contiguous() and dst.shape == src.shape and dst.numel() > 16:
            dst, src = dst.view(-1)[:-1], src.view(-1)[:-1]
        getattr(self.inner, name)(dst, src, raw(stream))

    return copy


def _beyond(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        getattr(self.inner, name)(dst, src, raw(stream))
        if hasattr(dst, "numel") and dst.numel():
            end = dst.data_ptr() + dst.numel() * dst.element_size()
            byte = ctypes.c_ubyte.from_address(end)
            byte.value ^= 0xFF

    return copy


def _lost_strides(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        if hasattr(dst, "contiguous") and hasattr(src, "numel"):
            dst = dst.contiguous()  # a new tensor, when strided: the copy goes nowhere
        getattr(self.inner, name)(dst, src, raw(stream))

    return copy


def _through_float(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        if hasattr(src, "dtype") and src.dtype.is_floating_point and src.dtype.itemsize == 2:
            src = src.float().to(src.dtype)
        getattr(self.inner, name)(dst, src, raw(stream))

    return copy


def _forgiving(error: type[Exception], repair: Any) -> Any:
    def make(name: str) -> Any:
        def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
            try:
                getattr(self.inner, name)(dst, src, raw(stream))
            except error:
                repair(dst, src)

        return copy

    return _both(make)


def _nameless(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        try:
            getattr(self.inner, name)(dst, src, raw(stream))
        except accel.ShapeError as error:
            raise accel.ShapeError("argument", error.expected, error.given) from None

    return copy


def _late_error(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        if hasattr(dst, "numel") and dst.device.type == "cpu" and dst.is_contiguous():
            dst.view(-1)[:1] = 0  # writes before it looks
        getattr(self.inner, name)(dst, src, raw(stream))

    return copy


def _untyped_error(name: str) -> Any:
    def copy(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
        try:
            getattr(self.inner, name)(dst, src, raw(stream))
        except accel.ArgumentError as error:
            raise RuntimeError(str(error)) from None

    return copy


def _not_kept(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
    import torch

    if isinstance(src, torch.Tensor) and isinstance(dst, torch.Tensor) and src.is_contiguous():
        nbytes = src.numel() * src.element_size()
        if dst.is_contiguous() and dst.shape == src.shape and nbytes:
            src = accel.MemRef(src.data_ptr(), nbytes, src.device)
    self.inner.copy_async(dst, src, raw(stream))


def _at_once(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
    self.inner.copy(dst, src, None)


def _queued_only(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
    self.inner.copy_async(dst, src, raw(stream))


def _swapped_pitches(self: Any, dst: Any, src: Any, **k: Any) -> None:
    k["dst_pitch"], k["src_pitch"] = k["src_pitch"], k["dst_pitch"]
    k["stream"] = raw(k.get("stream"))
    self.inner.copy_2d(dst, src, **k)


def _whole_pitch(self: Any, dst: Any, src: Any, **k: Any) -> None:
    k["stream"] = raw(k.get("stream"))
    self.inner.copy_2d(dst, src, **k)
    if k["height"] > 1 and k["dst_pitch"] == k["src_pitch"]:
        self.inner.copy_2d(dst, src, **{**k, "width": k["dst_pitch"], "height": k["height"] - 1})


def _unchecked_rows(self: Any, dst: Any, src: Any, **k: Any) -> None:
    k["stream"] = raw(k.get("stream"))
    try:
        self.inner.copy_2d(dst, src, **k)
    except accel.SizeError:
        k["height"] = max(0, k["height"] - 1)
        self.inner.copy_2d(dst, src, **k)


def _fill_elements(self: Any, dst: Any, value: Any, stream: Any = None) -> None:
    self.inner.fill(dst, value, raw(stream))
    if hasattr(dst, "fill_") and dst.element_size() > 1:
        raw(stream or accel.get_backend("cpu").streams.current()).synchronize()
        dst.fill_(value)


def _fill_signed(self: Any, dst: Any, value: Any, stream: Any = None) -> None:
    wrong = value & 0x7F if isinstance(value, int) and 0 <= value < 256 else value
    self.inner.fill(dst, wrong, raw(stream))


def _fill_wraps(self: Any, dst: Any, value: Any, stream: Any = None) -> None:
    self.inner.fill(dst, value % 256 if isinstance(value, int) else value, raw(stream))


def _batch_one_by_one(self: Any, dsts: Any, srcs: Any, stream: Any = None) -> None:
    for i, (dst, src) in enumerate(zip(dsts, srcs, strict=True)):
        try:
            self.inner.copy_batch([dst], [src], raw(stream))
        except accel.ArgumentError as error:
            side = error.argument.partition("[")[0]
            raise type(error)(f"{side}[{i}]", error.expected, error.given) from None


def _batch_truncates(self: Any, dsts: Any, srcs: Any, stream: Any = None) -> None:
    count = min(len(dsts), len(srcs))
    self.inner.copy_batch(list(dsts)[:count], list(srcs)[:count], raw(stream))


def _batch_index_lost(self: Any, dsts: Any, srcs: Any, stream: Any = None) -> None:
    try:
        self.inner.copy_batch(dsts, srcs, raw(stream))
    except accel.ArgumentError as error:
        side = error.argument.partition("[")[0]
        raise type(error)(side, error.expected, error.given) from None


DEFECTS = (
    Defect("copy-short", ("L1-memcpy::sizes",), memcpy=_both(_short)),
    Defect("copy-beyond", ("L1-memcpy::sizes",), memcpy=_both(_beyond)),
    Defect("copy-lost-strides", ("L1-memcpy::strides",), memcpy=_both(_lost_strides)),
    Defect("copy-through-float", ("L1-memcpy::dtypes",), memcpy=_both(_through_float)),
    Defect("copy-at-once", ("L1-streams::fifo_*",), memcpy=_memcpy(copy_async=_at_once)),
    Defect(
        "copy-returns-early",
        ("L1-memcpy::blocking_copy_in_order",),
        memcpy=_memcpy(copy=_queued_only),
    ),
    Defect("copy-not-kept", ("L1-memcpy::source_kept",), memcpy=_memcpy(copy_async=_not_kept)),
    Defect(
        "overlap-accepted",
        ("L1-memcpy::refuse_overlap",),
        memcpy=_forgiving(accel.OverlapError, lambda d, s: d.copy_(s.clone())),
    ),
    Defect(
        "dtype-converted",
        ("L1-memcpy::refuse_dtypes",),
        memcpy=_forgiving(accel.DTypeError, lambda d, s: d.copy_(s)),
    ),
    Defect(
        "shape-broadcast",
        ("L1-memcpy::refuse_shapes",),
        memcpy=_forgiving(accel.ShapeError, lambda d, s: d.copy_(s.expand(d.shape))),
    ),
    Defect(
        "freed-accepted",
        ("L1-memcpy::refuse_freed",),
        memcpy=_forgiving(accel.FreedError, lambda d, s: None),
    ),
    Defect("error-nameless", ("L1-memcpy::refuse_shapes",), memcpy=_both(_nameless)),
    Defect("error-late", ("L1-memcpy::refuse_dtypes",), memcpy=_both(_late_error)),
    Defect("error-untyped", ("L1-memcpy::refuse_overlap",), memcpy=_both(_untyped_error)),
    Defect("rows-swapped", ("L1-memcpy::rows",), memcpy=_memcpy(copy_2d=_swapped_pitches)),
    Defect("rows-padding", ("L1-memcpy::rows",), memcpy=_memcpy(copy_2d=_whole_pitch)),
    Defect("rows-unchecked", ("L1-memcpy::refuse_rows",), memcpy=_memcpy(copy_2d=_unchecked_rows)),
    Defect("fill-elements", ("L1-memcpy::fill_strided",), memcpy=_memcpy(fill=_fill_elements)),
    Defect("fill-wrong-byte", ("L1-memcpy::fill",), memcpy=_memcpy(fill=_fill_signed)),
    Defect("fill-wraps", ("L1-memcpy::refuse_fill_value",), memcpy=_memcpy(fill=_fill_wraps)),
    Defect(
        "batch-one-by-one",
        ("L1-memcpy::refuse_batch_bad_pair", "L1-memcpy::refuse_batch_overlap"),
        memcpy=_memcpy(copy_batch=_batch_one_by_one),
    ),
    Defect(
        "batch-truncates",
        ("L1-memcpy::refuse_batch_lengths",),
        memcpy=_memcpy(copy_batch=_batch_truncates),
    ),
    Defect(
        "batch-index-lost",
        ("L1-memcpy::refuse_batch_bad_pair",),
        memcpy=_memcpy(copy_batch=_batch_index_lost),
    ),
)
