"""Defects of the pinned pool."""

from __future__ import annotations

import dataclasses
from typing import Any

import accel

from .defect import Defect
from .wrapping import WrappedPinned

__all__ = ["DEFECTS"]


def _pinned(**members: Any) -> Any:
    return type("BrokenPinned", (WrappedPinned,), members)


def _stats(**changes: Any) -> Any:
    def stats(self: Any) -> Any:
        found = self.inner.stats()
        return dataclasses.replace(found, **{k: f(found) for k, f in changes.items()})

    return stats


class _Buffer:
    """A buffer of the good pool with other manners."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._freed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _FreeTwice(_Buffer):
    def free(self) -> None:
        if not self._freed:
            self._freed = True
            self._inner.free()


class _FreeUnderViews(_Buffer):
    def free(self) -> None:
        try:
            self._inner.free()
        except accel.StateError:
            self._freed = True


class _Loose(_Buffer):
    """Tensors over a block do not keep it."""

    def tensor(self, *args: Any) -> Any:
        import ctypes

        import torch

        kept = self._inner.tensor(*args)
        nbytes = kept.numel() * kept.element_size()
        if not nbytes:
            return kept
        memory = (ctypes.c_ubyte * nbytes).from_address(kept.data_ptr())
        flat = torch.frombuffer(memory, dtype=torch.uint8)
        return flat.view(kept.dtype).view(kept.shape)


def _allocating(buffer_type: Any) -> dict[str, Any]:
    def unwrap(memory: Any) -> Any:
        return memory._inner if isinstance(memory, _Buffer) else memory

    def allocate(self: Any, nbytes: int, **options: Any) -> Any:
        return buffer_type(self.inner.allocate(nbytes, **options))

    def is_pinned(self: Any, memory: Any) -> bool:
        return bool(self.inner.is_pinned(unwrap(memory)))

    return {"allocate": allocate, "is_pinned": is_pinned}


def _no_cache(self: Any, nbytes: int, **options: Any) -> Any:
    self.inner.trim()
    return self.inner.allocate(nbytes, **options)


def _odd_pointer(self: Any, nbytes: int, **options: Any) -> Any:
    buffer = _Buffer(self.inner.allocate(nbytes + 64, **options))
    buffer.pointer = buffer._inner.pointer + 64
    buffer.nbytes = nbytes
    buffer.tensor = lambda *a: buffer._inner.tensor()[64 : 64 + nbytes]
    return buffer


DEFECTS = (
    Defect(
        "record-ignored",
        ("L1-pinned::record_stream", "L1-pinned::two_streams"),
        pinned=_pinned(record_stream=lambda self, memory, stream: None),
    ),
    Defect(
        "limit-ignored",
        ("L1-pinned::limit",),
        pinned=_pinned(set_limit=lambda self, nbytes: None),
    ),
    Defect("no-cache", ("L1-pinned::reuse",), pinned=_pinned(allocate=_no_cache)),
    Defect(
        "cached-not-counted",
        ("L1-pinned::statistics_add_up",),
        pinned=_pinned(stats=_stats(cached=lambda s: 0)),
    ),
    Defect(
        "peak-forgotten",
        ("L1-pinned::statistics_add_up",),
        pinned=_pinned(stats=_stats(peak_in_use=lambda s: s.in_use)),
    ),
    Defect("free-twice", ("L1-pinned::freed_refused",), pinned=_pinned(**_allocating(_FreeTwice))),
    Defect(
        "free-under-views",
        ("L1-pinned::free_with_views",),
        pinned=_pinned(**_allocating(_FreeUnderViews)),
    ),
    Defect(
        "view-does-not-keep",
        ("L1-pinned::view_keeps_block",),
        pinned=_pinned(**_allocating(_Loose)),
    ),
    Defect(
        "always-pinned",
        ("L1-pinned::is_pinned",),
        pinned=_pinned(is_pinned=lambda self, memory: True),
    ),
    Defect("unaligned", ("L1-pinned::sizes",), pinned=_pinned(allocate=_odd_pointer)),
    Defect(
        "register-nothing",
        ("L1-pinned::register",),
        pinned=_pinned(register=lambda self, memory: None, unregister=lambda self, memory: None),
    ),
)
