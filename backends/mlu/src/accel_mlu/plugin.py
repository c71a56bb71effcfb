"""The plugin of the backend ``mlu``: Cambricon MLUs.

Importing this module imports neither torch, torch_mlu nor the native part; building an area does.
"""

from __future__ import annotations

import accel
from accel.torch_device.plugin import TorchDevicePlugin

from . import probe

__all__ = ["PLUGIN"]

PLUGIN = TorchDevicePlugin(
    accel.BackendInfo(
        name="mlu",
        device_type="mlu",
        hookspec_version=1,
        priority=100,
        summary="Cambricon MLUs: torch_mlu's streams, copies through CNRT, CNCL, KV kernels",
    ),
    probe.probe,
    package="accel_mlu",
    prefix="Mlu",
)
