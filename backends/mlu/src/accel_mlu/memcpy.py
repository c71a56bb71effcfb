"""Copies and fills of the MLU: CNRT's, and operators of torch_mlu where rows cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.memcpy import TorchDeviceMemcpy

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["MluMemcpy"]


class MluMemcpy(TorchDeviceMemcpy):
    """Copies by CNRT: asynchronous, and of rows where CNRT has them (6.14)."""

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        rows = "cnrtMemcpy2DAsync" not in _native.describe_cnrt()["missing"]
        self.notes = (
            *self.notes,
            "batches: one CNRT call a copy",
            "strided memory: "
            + ("rows by one CNRT call, else " if rows else "")
            + "operators of torch_mlu",
        )
