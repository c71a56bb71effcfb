"""The hooks of the backend ``ascend``: Huawei NPUs.

Importing this module imports neither torch, torch_npu nor the native part; the factories do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import accel

from . import probe

if TYPE_CHECKING:
    from accel import Backend
    from accel.providers import Collectives, Events, KVKernels, Memcpy, PinnedMemory, Streams

NAME = "ascend"


@accel.hookimpl
def accel_backend_info() -> accel.BackendInfo:
    return accel.BackendInfo(
        name=NAME,
        device_type="npu",
        hookspec_version=1,
        priority=100,
        summary="Huawei Ascend NPUs: torch_npu's streams, copies through ACL, HCCL, KV kernels",
    )


@accel.hookimpl
def accel_probe() -> accel.Probe:
    return probe.probe()


@accel.hookimpl
def accel_streams(backend: Backend) -> Streams | None:
    if backend.info.name != NAME:
        return None
    from .runtime import device_index
    from .streams import AscendStreams

    return AscendStreams(device_index(backend))


@accel.hookimpl
def accel_events(backend: Backend) -> Events | None:
    if backend.info.name != NAME:
        return None
    from .events import AscendEvents

    return AscendEvents(backend)


@accel.hookimpl
def accel_pinned_memory(backend: Backend) -> PinnedMemory | None:
    if backend.info.name != NAME:
        return None
    from .pinned import AscendPinnedMemory

    return AscendPinnedMemory(backend)


@accel.hookimpl
def accel_memcpy(backend: Backend) -> Memcpy | None:
    if backend.info.name != NAME:
        return None
    from .memcpy import AscendMemcpy

    return AscendMemcpy(backend)


@accel.hookimpl
def accel_collectives(backend: Backend) -> Collectives | None:
    if backend.info.name != NAME:
        return None
    from .collectives import AscendCollectives

    return AscendCollectives(backend)


@accel.hookimpl
def accel_kv_kernels(backend: Backend) -> KVKernels | None:
    if backend.info.name != NAME:
        return None
    from .kv import AscendKVKernels

    return AscendKVKernels(backend)
