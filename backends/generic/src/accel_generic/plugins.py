"""A plugin for each row of the table. Those whose package is not installed are not listed."""

from __future__ import annotations

from functools import partial

import accel
from accel.torch_device.plugin import TorchDevicePlugin

from . import probe
from .table import Row, row_of

__all__ = ["GCU", "HPU", "MUSA", "SDAA", "SUPA", "XPU", "plugin_of"]


def plugin_of(row: Row) -> TorchDevicePlugin:
    info = accel.BackendInfo(
        name=row.name,
        device_type=row.name,
        hookspec_version=1,
        priority=20,
        summary=f"{row.maker}'s devices by torch.{row.name} alone, {row.vendor.distributed}",
    )
    return TorchDevicePlugin(
        info,
        partial(probe.probe, row),
        package="accel_generic",
        prefix="Generic",
        listed=partial(probe.installed, row),
    )


MUSA = plugin_of(row_of("musa"))
GCU = plugin_of(row_of("gcu"))
SUPA = plugin_of(row_of("supa"))
SDAA = plugin_of(row_of("sdaa"))
XPU = plugin_of(row_of("xpu"))
HPU = plugin_of(row_of("hpu"))
