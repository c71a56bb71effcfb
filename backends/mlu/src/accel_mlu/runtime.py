"""torch_mlu and libcnrt, both opened when the backend is first built."""

from __future__ import annotations

from accel.torch_device.connection import Connection
from accel.torch_device.probe import library_names

from .probe import MLU, NEUWARE

__all__ = ["MLU", "connect", "device_index"]


def _open() -> None:
    from . import _native

    _native.open_cnrt(library_names(NEUWARE))


_connection = Connection(MLU, _open)
connect = _connection.connect
device_index = _connection.device_index
