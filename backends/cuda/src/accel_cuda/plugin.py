"""The hooks of the backend ``cuda``: NVIDIA GPUs, and AMD and Hygon through HIP.

Importing this module imports neither torch nor the native part; the factories do.
"""

from __future__ import annotations

import accel

from . import probe

NAME = "cuda"


@accel.hookimpl
def accel_backend_info() -> accel.BackendInfo:
    return accel.BackendInfo(
        name=NAME,
        device_type="cuda",
        hookspec_version=1,
        priority=100,
        summary="NVIDIA GPUs, and AMD and Hygon through HIP: streams, graphs, copies, KV kernels",
    )


@accel.hookimpl
def accel_probe() -> accel.Probe:
    return probe.probe()
