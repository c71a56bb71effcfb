"""KV data movement on the device, and between it and the host."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from accel.capabilities import Capability, Level
from accel.errors import ArgumentError, DeviceError
from accel.native_kernels.movement import Movement

from . import _native, kernels
from .kv_pageable import PageablePair, PageableWriter, on_host, wait_for

if TYPE_CHECKING:
    import torch

    from accel.backend import Backend
    from accel.kv import KVCache
    from accel.kv.plan import TransferPlan
    from accel.providers import Stream

__all__ = ["MOVEMENT", "CudaMovement"]

#: What this adds to the capabilities.
MOVEMENT = {
    Capability.KV_TRANSFER: Level.NATIVE,
    Capability.KV_TRANSFER_BLOCKS: Level.NATIVE,
    Capability.KV_WRITE: Level.NATIVE,
    Capability.KV_COPY_BLOCKS: Level.NATIVE,
    Capability.KV_SWAP_BLOCKS: Level.NATIVE,
    Capability.KV_GATHER: Level.NATIVE,
    Capability.KV_UPLOAD: Level.NATIVE,
}

#: The part of the multiprocessors that kernels of transfers to and from the host may use.
SHARE_VARIABLE = "ACCEL_CUDA_HOST_SHARE"
#: Index tensors on the device are read back and checked before anything is done, as on the host.
CHECK_VARIABLE = "ACCEL_CHECK_DEVICE_SLOTS"
#: staged_bytes, first_bytes and others: native/kv/move/host_transfer.hpp.
_POLICY_VARIABLE = "ACCEL_CUDA_HOST_{}"

_COPIES = (
    *(f"kv_copy_{how}_{n}" for how in ("rows", "turned") for n in (1, 2, 4, 8, 16)),
    "kv_copy_rows_16_few",
)
_OTHERS = ("kv_gather_slots", "kv_upload")


class CudaMovement(Movement):
    """One launch for all layers and planes; host transfers by kernel or by copy engine.

    A cache on the device is kept alive by torch's allocator (``record_stream``, once for every
    stream it is used on), one in pinned memory by a reference until the work is done.
    """

    native = _native.kv
    devices = ("cuda", "cpu")

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._device = backend.device
        self._index = backend.device.index or 0
        self._streams = backend.streams
        names = dict.fromkeys(_COPIES, "kv_copy.cu") | dict.fromkeys(_OTHERS, "kv_gather.cu")
        functions = {n: kernels.function(self._index, file, n) for n, file in names.items()}
        self._kernels = self.native.Kernels(self._index, functions, share_of_device())
        _set_policy()
        self._gather = self._gather_with_scratch
        self.upload_small = partial(  # type: ignore[method-assign]
            self.native.upload_small, self._kernels
        )
        self._checks_device = os.environ.get(CHECK_VARIABLE, "") not in ("", "0")
        if self._checks_device:
            self._transfer = partial(_checked, self.native.transfer, (3, 4), self._streams)
            self._map_blocks = partial(_checked, self.native.map_blocks, (3,), self._streams)
            self._gather = partial(_checked, self._gather_with_scratch, (3, 4, 5), self._streams)
            self._write = partial(_checked, self.native.write, (5,), self._streams)

    def movement_notes(self) -> tuple[str, ...]:
        """For ``notes``: what decides how data moves."""
        policy = self.native.host_policy()
        checked = (
            "read back and checked before a call does anything"
            if self._checks_device
            else "skipped by the kernel where out of range, which the stream's next "
            f"synchronisation reports; not checked for repeats ({CHECK_VARIABLE}=1: read back)"
        )
        return (
            f"index tensors on the host are always checked; those on the device are {checked}",
            f"transfers with pinned host memory: a kernel of at most {self._kernels.host_blocks} "
            f"blocks ({SHARE_VARIABLE}={share_of_device():g} of the multiprocessors); from "
            f"{policy['staged_bytes'] >> 20} MiB on the copy engines, in batches where both sides "
            "have long runs, else through staging memory, which kernels of up to "
            f"{policy['staging_blocks']} times as many blocks pack",
            "KV caches in pageable host memory: through torch, blocking",
            *self._slow_look(),
        )

    def _slow_look(self) -> tuple[str, ...]:
        if self.native.knows_tensor_words():
            return ()
        return (
            "this build of torch is not laid out as others are: each call asks it where the "
            "tensors of a cache are, some 40 ns for each",
        )

    def transfer_paths(self) -> dict[str, int]:
        """How many transfers to and from pinned host memory went which way so far."""
        counts: dict[str, int] = self.native.host_counts()
        return counts

    def _new_pair(self, src: KVCache, dst: KVCache, plan: TransferPlan, *arguments: Any) -> Any:
        for name, cache in (("src", src), ("dst", dst)):
            if cache.device.type == "cuda" and cache.device != self._device:
                raise DeviceError(
                    name, f"a cache on {self._device} or in host memory", cache.device
                )
        hosts = [cache for cache in (src, dst) if cache.device.type == "cpu"]
        if len(hosts) == 2 or not all(self._is_mapped(cache) for cache in hosts):
            shared, tokens = arguments[-1], src.slots // plan.src_units if plan.src_units else 1
            return PageablePair(plan, shared, tokens, self._streams)
        on_host = [cache.device.type == "cpu" for cache in (src, dst)]
        return self.native.Pair(self._kernels, *on_host, *arguments)

    def _new_writer(self, cache: KVCache, *arguments: Any) -> Any:
        if cache.device.type == "cpu":
            return PageableWriter(self._streams)
        if cache.device != self._device:
            raise DeviceError("cache", f"a cache on {self._device}", cache.device)
        return self.native.Writer(self._kernels, *arguments)

    def _is_mapped(self, cache: KVCache) -> bool:
        """Whether the device reaches all of a cache in host memory, under the host's addresses."""
        for row, layer in zip(cache.views, range(cache.layers), strict=True):
            for plane, view in enumerate(row):
                pointer = cache.pointers[layer * cache.planes + plane]
                last = sum((n - 1) * s for n, s in zip(view.shape, view.stride(), strict=True))
                span = (last + 1) * view.element_size() if view.numel() else 0
                if span and self.native.mapped_address(self._index, pointer, span) != pointer:
                    return False
        return True

    def _gather_with_scratch(self, *arguments: Any) -> None:
        stream: Stream | None = arguments[-1]
        self.native.gather(*arguments, partial(self._scratch, stream))

    def _scratch(self, stream: Stream | None, count: int) -> torch.Tensor:
        """int64 memory that is free on the stream it will be used on."""
        import torch

        if stream is None:
            return torch.empty(count, dtype=torch.int64, device=self._device)
        with stream:
            return torch.empty(count, dtype=torch.int64, device=self._device)


def share_of_device() -> float:
    """ACCEL_CUDA_HOST_SHARE, half by default.

    A quarter of an H200's multiprocessors keeps PCIe 5 as busy as a kernel can; half leaves room
    for smaller devices.
    """
    text = os.environ.get(SHARE_VARIABLE, "0.5")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise ArgumentError(SHARE_VARIABLE, "a number above 0 and at most 1", text)
    return share


def _set_policy() -> None:
    for name in CudaMovement.native.host_policy():
        text = os.environ.get(_POLICY_VARIABLE.format(name.upper()), "")
        if not text:
            continue
        if not text.isdecimal():
            raise ArgumentError(_POLICY_VARIABLE.format(name.upper()), "a number", text)
        CudaMovement.native.set_host_policy(**{name: int(text)})


def _checked(call: Any, which: tuple[int, ...], streams: Any, *arguments: Any) -> Any:
    """``call`` with index tensors brought to the host first, in stream order."""
    given = list(arguments)
    if any(getattr(given[i], "is_cuda", False) for i in which):
        wait_for(given[-1], streams)
        for i in which:
            given[i] = on_host(given[i])
    return call(*given)
