"""A vendor's package and its runtime library, both opened when the backend is first built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .probe import DriverStack

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["Connection"]


class Connection:
    """Makes a vendor's devices known to torch and to the plugin's native module."""

    def __init__(self, stack: DriverStack, opener: str) -> None:
        """``opener``: the native function that opens the library, ``"package._native:open"``, given
        the names to try; further calls of it do nothing."""
        self.stack = stack
        self._opener = opener

    def connect(self) -> Any:
        """``torch.<device type>``, initialised as its package needs it, and the library opened."""
        space = self.stack.vendor.load()
        init = getattr(space, "init", None)
        if init is not None:
            init()
        module, _, name = self._opener.partition(":")
        getattr(import_module(module), name)(self.stack.library_names())
        return space

    def device_index(self, backend: Backend) -> int:
        """The device's index. Before the package is imported, torch knows no such devices."""
        self.connect()
        index = backend.device.index
        return 0 if index is None else int(index)
