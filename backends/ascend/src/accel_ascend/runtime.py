"""torch_npu and libascendcl, both opened when the backend is first built."""

from __future__ import annotations

from accel.torch_device.connection import Connection
from accel.torch_device.probe import library_names

from .probe import CANN, NPU

__all__ = ["NPU", "connect", "device_index"]


def _open() -> None:
    from . import _native

    _native.open_acl(library_names(CANN))


_connection = Connection(NPU, _open)
connect = _connection.connect
device_index = _connection.device_index
