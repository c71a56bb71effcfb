"""torch_npu and libascendcl, both opened when the backend is first built."""

from accel.torch_device.connection import Connection

from .probe import CANN, NPU

__all__ = ["NPU", "connect", "device_index"]

_connection = Connection(CANN, "accel_ascend._native:open_acl")
connect, device_index = _connection.connect, _connection.device_index
