"""The hooks of a plugin for a device of torch, as one object that names a class for each area.

    PLUGIN = TorchDevicePlugin(
        info, probe.probe, package="accel_mlu", areas={"streams": "streams:MluStreams", ...}
    )

An entry point names it (``accel_mlu.plugin:PLUGIN``). Modules are imported when their area is
built; each class is made with the backend alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..backend_info import BackendInfo, Probe
from ..hookspecs import hookimpl

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["TorchDevicePlugin"]


class TorchDevicePlugin:
    """Hooks of one backend.

    Args:
        info: what ``accel_backend_info`` gives.
        probe: what ``accel_probe`` asks.
        package: where the modules of ``areas`` are.
        listed: whether anything of the vendor's is installed; where not, the plugin is left out of
            discovery.
        areas: by area (streams, events, pinned_memory, memcpy, collectives, kv_kernels):
            ``"module:Class"``. An area that is not there is not provided.
    """

    def __init__(
        self,
        info: BackendInfo,
        probe: Callable[[], Probe],
        *,
        package: str,
        areas: Mapping[str, str],
        listed: Callable[[], bool] | None = None,
    ) -> None:
        self.info = info
        self._probe = probe
        self._package = package
        self._areas = dict(areas)
        self._listed = listed

    def __repr__(self) -> str:
        return f"<plugin {self.info.name} of {self._package}>"

    @hookimpl
    def accel_backend_info(self) -> BackendInfo:
        return self.info

    @hookimpl
    def accel_listed(self) -> bool:
        return self._listed is None or self._listed()

    @hookimpl
    def accel_probe(self) -> Probe:
        return self._probe()

    @hookimpl
    def accel_streams(self, backend: Backend) -> Any:
        return self._make("streams", backend)

    @hookimpl
    def accel_events(self, backend: Backend) -> Any:
        return self._make("events", backend)

    @hookimpl
    def accel_pinned_memory(self, backend: Backend) -> Any:
        return self._make("pinned_memory", backend)

    @hookimpl
    def accel_memcpy(self, backend: Backend) -> Any:
        return self._make("memcpy", backend)

    @hookimpl
    def accel_collectives(self, backend: Backend) -> Any:
        return self._make("collectives", backend)

    @hookimpl
    def accel_kv_kernels(self, backend: Backend) -> Any:
        return self._make("kv_kernels", backend)

    def _make(self, area: str, backend: Backend) -> Any:
        if backend.info.name != self.info.name or area not in self._areas:
            return None
        module, _, name = self._areas[area].partition(":")
        return getattr(import_module(f"{self._package}.{module}"), name)(backend)
