"""torch_mlu and libcnrt, both opened when the backend is first built."""

from accel.torch_device.connection import Connection

from .probe import MLU, NEUWARE

__all__ = ["MLU", "connect", "device_index"]

_connection = Connection(NEUWARE, "accel_mlu._native:open_cnrt")
connect, device_index = _connection.connect, _connection.device_index
