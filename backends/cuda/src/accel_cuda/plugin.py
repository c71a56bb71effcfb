"""The hooks of the backend ``cuda``: NVIDIA GPUs, and AMD and Hygon through HIP.

Importing this module imports neither torch nor the native part; the factories do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import accel

from . import probe

if TYPE_CHECKING:
    from accel import Backend
    from accel.providers import Collectives, Events, KVKernels, Memcpy, PinnedMemory, Streams

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


@accel.hookimpl
def accel_streams(backend: Backend) -> Streams | None:
    if backend.info.name != NAME:
        return None
    from .streams import CudaStreams

    return CudaStreams(backend.device.index)


@accel.hookimpl
def accel_events(backend: Backend) -> Events | None:
    if backend.info.name != NAME:
        return None
    from .events import CudaEvents

    return CudaEvents(backend.device.index)


@accel.hookimpl
def accel_pinned_memory(backend: Backend) -> PinnedMemory | None:
    if backend.info.name != NAME:
        return None
    from .pinned import CudaPinnedMemory

    return CudaPinnedMemory(backend.device.index)


@accel.hookimpl
def accel_memcpy(backend: Backend) -> Memcpy | None:
    if backend.info.name != NAME:
        return None
    from .memcpy import CudaMemcpy

    return CudaMemcpy(backend.device.index)


@accel.hookimpl
def accel_collectives(backend: Backend) -> Collectives | None:
    if backend.info.name != NAME:
        return None
    from .collectives import CudaCollectives

    return CudaCollectives(backend)


@accel.hookimpl
def accel_kv_kernels(backend: Backend) -> KVKernels | None:
    if backend.info.name != NAME:
        return None
    from .kv import CudaKVKernels

    return CudaKVKernels(backend)
