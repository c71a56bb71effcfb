"""The hooks of the backend ``cpu``: native streams, events, pinned memory, copies and KV kernels.

Importing this module imports neither torch nor the native part; the factories do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import accel

if TYPE_CHECKING:
    from accel import Backend
    from accel.providers import Collectives, Events, KVKernels, Memcpy, PinnedMemory, Streams

NAME = "cpu"


@accel.hookimpl
def accel_backend_info() -> accel.BackendInfo:
    return accel.BackendInfo(
        name=NAME,
        device_type="cpu",
        hookspec_version=1,
        priority=0,
        summary="native streams, pinned memory, copies and KV kernels on the host processor",
    )


@accel.hookimpl
def accel_probe() -> accel.Probe:
    processors = len(os.sched_getaffinity(0))
    return accel.Probe(
        available=True,
        reason=f"this process may run on {processors} processors",
        device_count=1,
        details={"processors": str(processors)},
    )


@accel.hookimpl
def accel_streams(backend: Backend) -> Streams | None:
    if backend.info.name != NAME:
        return None
    from .streams import CpuStreams

    return CpuStreams()


@accel.hookimpl
def accel_events(backend: Backend) -> Events | None:
    if backend.info.name != NAME:
        return None
    from .events import CpuEvents

    return CpuEvents()


@accel.hookimpl
def accel_pinned_memory(backend: Backend) -> PinnedMemory | None:
    if backend.info.name != NAME:
        return None
    from .pinned import CpuPinnedMemory

    return CpuPinnedMemory()


@accel.hookimpl
def accel_memcpy(backend: Backend) -> Memcpy | None:
    if backend.info.name != NAME:
        return None
    from .memcpy import CpuMemcpy

    return CpuMemcpy()


@accel.hookimpl
def accel_collectives(backend: Backend) -> Collectives | None:
    if backend.info.name != NAME:
        return None
    from .collectives import CpuCollectives

    return CpuCollectives(backend)


@accel.hookimpl
def accel_kv_kernels(backend: Backend) -> KVKernels | None:
    if backend.info.name != NAME:
        return None
    from .kv import CpuKVKernels

    return CpuKVKernels(backend)
