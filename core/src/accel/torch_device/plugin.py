"""The hooks of a plugin for a device of torch, as one object.

    PLUGIN = TorchDevicePlugin(info, probe.probe, package="accel_mlu", prefix="Mlu")

An entry point names it (``accel_mlu.plugin:PLUGIN``). Each area is a module of the package with a
class: ``accel_mlu.streams.MluStreams``, ``accel_mlu.kv.MluKVKernels``. It is imported when the area
is built, and made with the backend alone.
"""

from __future__ import annotations

from collections.abc import Callable
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
        package: where the areas' modules are: streams, events, pinned, memcpy, collectives, kv.
        prefix: of their classes' names.
        listed: whether anything of the vendor's is installed; where not, the plugin is left out of
            discovery.
    """

    def __init__(
        self,
        info: BackendInfo,
        probe: Callable[[], Probe],
        *,
        package: str,
        prefix: str,
        listed: Callable[[], bool] | None = None,
    ) -> None:
        self.info = info
        self._probe = probe
        self._package = package
        self._prefix = prefix
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
        return self._make("streams", "Streams", backend)

    @hookimpl
    def accel_events(self, backend: Backend) -> Any:
        return self._make("events", "Events", backend)

    @hookimpl
    def accel_pinned_memory(self, backend: Backend) -> Any:
        return self._make("pinned", "PinnedMemory", backend)

    @hookimpl
    def accel_memcpy(self, backend: Backend) -> Any:
        return self._make("memcpy", "Memcpy", backend)

    @hookimpl
    def accel_collectives(self, backend: Backend) -> Any:
        return self._make("collectives", "Collectives", backend)

    @hookimpl
    def accel_kv_kernels(self, backend: Backend) -> Any:
        return self._make("kv", "KVKernels", backend)

    def _make(self, module: str, area: str, backend: Backend) -> Any:
        if backend.info.name != self.info.name:
            return None
        found = import_module(f"{self._package}.{module}")
        return getattr(found, self._prefix + area)(backend)
