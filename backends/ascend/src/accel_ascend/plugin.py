"""The plugin of the backend ``ascend``: Huawei NPUs.

Importing this module imports neither torch, torch_npu nor the native part; building an area does.
"""

from __future__ import annotations

import accel
from accel.torch_device.plugin import TorchDevicePlugin

from . import probe

__all__ = ["PLUGIN"]

PLUGIN = TorchDevicePlugin(
    accel.BackendInfo(
        name="ascend",
        device_type="npu",
        hookspec_version=1,
        priority=100,
        summary="Huawei Ascend NPUs: torch_npu's streams, copies through ACL, HCCL, KV kernels",
    ),
    probe.probe,
    package="accel_ascend",
    prefix="Ascend",
)
