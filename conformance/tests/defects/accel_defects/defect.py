"""One defect: what is broken, and which cases must find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import accel

from .wrapping import (
    WrappedCollectives,
    WrappedEvents,
    WrappedKV,
    WrappedMemcpy,
    WrappedPinned,
    WrappedStreams,
)

__all__ = ["Defect", "DefectPlugin"]


def _probe() -> accel.Probe:
    return accel.Probe(True, "a good backend with one defect", device_count=1)


@dataclass(frozen=True)
class Defect:
    """The good backend with these providers in place of the sound wrappers.

    Attributes:
        name: of the entry point and, after ``defect-``, of the backend.
        caught_by: patterns of case ids; of each, at least one case must fail.
    """

    name: str
    caught_by: tuple[str, ...]
    streams: Any = WrappedStreams
    events: Any = WrappedEvents
    pinned: Any = WrappedPinned
    memcpy: Any = WrappedMemcpy
    collectives: Any = WrappedCollectives
    kv: Any = WrappedKV
    probe: Callable[[], accel.Probe] = field(default=_probe)

    @property
    def backend(self) -> str:
        """The name under which it is a backend."""
        return f"defect-{self.name}"


class DefectPlugin:
    """The plugin of one defect: an object with the hooks."""

    def __init__(self, defect: Defect) -> None:
        self.defect = defect

    def _wrap(self, backend: accel.Backend, area: str) -> Any:
        if backend.info.name != self.defect.backend:
            return None
        good = accel.get_backend("cpu")
        return getattr(self.defect, area)(getattr(good, area))

    @accel.hookimpl
    def accel_backend_info(self) -> accel.BackendInfo:
        return accel.BackendInfo(self.defect.backend, "cpu", 1, -100, "broken on purpose")

    @accel.hookimpl
    def accel_probe(self) -> accel.Probe:
        return self.defect.probe()

    @accel.hookimpl
    def accel_streams(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "streams")

    @accel.hookimpl
    def accel_events(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "events")

    @accel.hookimpl
    def accel_pinned_memory(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "pinned")

    @accel.hookimpl
    def accel_memcpy(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "memcpy")

    @accel.hookimpl
    def accel_collectives(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "collectives")

    @accel.hookimpl
    def accel_kv_kernels(self, backend: accel.Backend) -> Any:
        return self._wrap(backend, "kv")
