"""A vendor's package and its runtime library, both opened when the backend is first built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .vendor import TorchVendor

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["Connection"]


class Connection:
    """Makes a vendor's devices known to torch and to the plugin's native module."""

    def __init__(self, vendor: TorchVendor, open_native: Callable[[], None]) -> None:
        """``open_native`` opens the runtime library; later calls must do nothing."""
        self.vendor = vendor
        self._open = open_native

    def connect(self) -> Any:
        """``torch.<device type>``, initialised as its package needs it, and the library opened."""
        space = self.vendor.load()
        init = getattr(space, "init", None)
        if init is not None:
            init()
        self._open()
        return space

    def device_index(self, backend: Backend) -> int:
        """The device's index. Before the package is imported, torch knows no such devices."""
        self.connect()
        index = backend.device.index
        return 0 if index is None else int(index)
