"""``torch-cpu``: the asynchronous streams of ``cpu``. ``torch-queue``: synchronous streams, but
uploads, staging and copies as for a device with memory of its own."""

from __future__ import annotations

from typing import Any

import accel

__all__ = ["host", "queue"]


class _Composed:
    """The hooks of one backend, made of another's streams, events, pinned memory and copies."""

    def __init__(self, name: str, inner: str) -> None:
        self._name, self._inner = name, inner

    @accel.hookimpl
    def accel_backend_info(self) -> accel.BackendInfo:
        summary = "KV kernels of torch operators, on the CPU"
        return accel.BackendInfo(self._name, "cpu", 1, priority=-200, summary=summary)

    @accel.hookimpl
    def accel_probe(self) -> accel.Probe:
        return accel.Probe(True, "every machine has a CPU", device_count=1)

    def _area(self, backend: accel.Backend, area: str) -> Any:
        if backend.info.name != self._name:
            return None
        found = getattr(accel.get_backend(self._inner), area)
        return found if found.capabilities else None

    @accel.hookimpl
    def accel_streams(self, backend: accel.Backend) -> Any:
        return self._area(backend, "streams")

    @accel.hookimpl
    def accel_events(self, backend: accel.Backend) -> Any:
        return self._area(backend, "events")

    @accel.hookimpl
    def accel_pinned_memory(self, backend: accel.Backend) -> Any:
        return self._area(backend, "pinned")

    @accel.hookimpl
    def accel_memcpy(self, backend: accel.Backend) -> Any:
        return self._area(backend, "memcpy")

    @accel.hookimpl
    def accel_kv_kernels(self, backend: accel.Backend) -> Any:
        if backend.info.name != self._name:
            return None
        from accel.torch_kernels import TorchKVKernels
        from accel.torch_kernels.queue import DeviceQueue

        if self._name == "torch-cpu":
            return TorchKVKernels(backend)
        return TorchKVKernels(backend, DeviceQueue(backend))


host = _Composed("torch-cpu", "cpu")
queue = _Composed("torch-queue", "cpu-reference")
