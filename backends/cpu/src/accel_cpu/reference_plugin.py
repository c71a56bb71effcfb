"""The hooks of ``cpu-reference``: plain torch, obviously right, the oracle of conformance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.backend_info import BackendInfo, Probe
from accel.hookspecs import hookimpl

if TYPE_CHECKING:
    from accel.backend import Backend
    from accel.providers import Collectives, Events, KVKernels, Memcpy, Streams

NAME = "cpu-reference"


@hookimpl
def accel_backend_info() -> BackendInfo:
    return BackendInfo(
        name=NAME,
        device_type="cpu",
        hookspec_version=1,
        priority=-100,
        summary="plain torch on the CPU, synchronous: what other backends are compared with",
    )


@hookimpl
def accel_probe() -> Probe:
    return Probe(available=True, reason="every machine has a CPU", device_count=1)


@hookimpl
def accel_streams(backend: Backend) -> Streams | None:
    if backend.info.name != NAME:
        return None
    from .reference.streams import ReferenceStreams

    return ReferenceStreams(backend)


@hookimpl
def accel_events(backend: Backend) -> Events | None:
    if backend.info.name != NAME:
        return None
    from .reference.streams import ReferenceEvents

    return ReferenceEvents(backend)


@hookimpl
def accel_memcpy(backend: Backend) -> Memcpy | None:
    if backend.info.name != NAME:
        return None
    from .reference.memcpy import ReferenceMemcpy

    return ReferenceMemcpy(backend)


@hookimpl
def accel_collectives(backend: Backend) -> Collectives | None:
    if backend.info.name != NAME:
        return None
    from .collectives import CpuCollectives

    return CpuCollectives(backend)


@hookimpl
def accel_kv_kernels(backend: Backend) -> KVKernels | None:
    if backend.info.name != NAME:
        return None
    from .reference.kv import ReferenceKVKernels

    return ReferenceKVKernels(backend)
