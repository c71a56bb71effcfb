"""Copies and fills of the device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from accel import AccelError, Capabilities, Capability, Level
from accel.providers import Memcpy, MemoryInfo
from accel.warn_once import warn_once

from . import _native
from .torch_link import torch_has_device

__all__ = ["CudaMemcpy"]


class CudaMemcpy(Memcpy):
    """Copies by the driver's copy engines, and by a kernel where memory is strided.

    Pageable host memory works with every method. The driver stages it, so the call blocks: until
    the bytes have left the host's memory, or have reached it. A strided pageable operand is packed
    by the processor, in turns with the device. None of these can be captured into a graph.

    Between two devices strided operands are packed on either side; kernels never touch a peer's
    memory.
    """

    def __init__(
        self, index: int, find_kernel: Callable[[int, str, str], int] | None = None
    ) -> None:
        """``find_kernel(index, file, name)``: where kernels are had from, for tests."""
        self._native = _native.Memcpy(index)
        _native.use_copy_kernels(find_kernel or _find_kernel)
        missing = _load_kernels(index)
        if torch_has_device():
            _native.use_scratch(
                torch.cuda.caching_allocator_alloc, torch.cuda.caching_allocator_delete
            )
        levels = {
            Capability.COPY: Level.NATIVE,
            Capability.COPY_RAW: Level.NATIVE,
            Capability.COPY_BATCH: Level.NATIVE,
            Capability.COPY_2D: Level.NATIVE,
            Capability.FILL: Level.NATIVE,
            Capability.MEMORY_INFO: Level.NATIVE,
        }
        if _native.device_count() > 1:
            levels[Capability.COPY_PEER] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        self.notes = (
            *missing,
            "pageable host memory blocks the caller; memory of backend.pinned does not",
            "batches: small copies in one kernel, large ones "
            + (
                "in one driver call (not on the default stream, nor while it is captured)"
                if "memcpy_batch_async" not in _native.describe_driver()["missing"]
                else "in one driver call each"
            ),
        )
        # The native methods themselves: a call costs what they cost.
        self.copy = self._native.copy  # type: ignore[method-assign]
        self.copy_async = self._native.copy_async  # type: ignore[method-assign]
        self.copy_batch = self._native.copy_batch  # type: ignore[method-assign]
        self.copy_2d = self._native.copy_2d  # type: ignore[method-assign]
        self.fill = self._native.fill  # type: ignore[method-assign]

    def memory_info(self) -> MemoryInfo:
        return MemoryInfo(*self._native.memory_info())


def _load_kernels(index: int) -> tuple[str, ...]:
    """Load them now: the driver may wait for the whole device then, which a call must not do."""
    try:
        _native.load_copy_kernels(index)
    except AccelError as error:
        # Flat copies on the device are the driver's then; what needs a kernel raises this error.
        _native.copy_limits(kernel_on_device=0, batch_on_device=0, batch_with_host=0)
        warn_once(f"the kernels for copies cannot be had, strided copies will fail: {error}")
        return (f"no kernels for strided copies: {error}",)
    return ()


def _find_kernel(index: int, file: str, name: str) -> int:
    """The handle of a kernel of this package; compiled for the chip if it never was."""
    from . import kernels

    return kernels.function(index, file, name)
