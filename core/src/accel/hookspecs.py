"""The hooks that a plugin implements.

An entry point of group ``accel.backends`` names a module with ``@accel.hookimpl`` functions. That
module must import without the vendor's stack: only the factories may import it. Hooks run when a
backend is discovered or built; the objects they return are then called directly. A plugin that
provides a backend is asked for that backend's areas only; one that provides none (a kernel pack,
whose ``accel_backend_info`` returns None) is asked for every backend's, and needs no probe. Hook
wrappers are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from .backend_info import BackendInfo, Probe

if TYPE_CHECKING:
    from .backend import Backend
    from .providers import Collectives, Events, KVKernels, Memcpy, PinnedMemory, Streams

__all__ = [
    "ENTRY_POINT_GROUP",
    "HOOKSPEC_VERSION",
    "OLDEST_HOOKSPEC_VERSION",
    "PROJECT",
    "hookimpl",
]

PROJECT = "accel"
ENTRY_POINT_GROUP = "accel.backends"

#: Raised when a hook's name, arguments or meaning change; core accepts this and the one before.
HOOKSPEC_VERSION = 1
OLDEST_HOOKSPEC_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def accel_backend_info() -> BackendInfo | None:
    """The backend this plugin provides, or None for one that only overrides areas of others.

    Must be cheap and import nothing.
    """


@hookspec
def accel_listed() -> bool:  # type: ignore[empty-body]
    """Optional: False where nothing of the vendor's is installed, so that the plugin is not listed
    at all. For distributions that bring plugins of many vendors. As cheap as the one above."""


@hookspec
def accel_probe() -> Probe:  # type: ignore[empty-body]
    """Whether the hardware is here, found without the vendor's Python packages (device files,
    ``ctypes`` on the driver, environment). Must not raise, and must not import torch."""


@hookspec(firstresult=True)
def accel_streams(backend: Backend) -> Streams | None:
    """The streams of ``backend.device``, or None when ``backend`` is not this plugin's.

    The same for every factory below. They are called in the order in which they stand here, and
    ``backend`` already holds the areas made before. A plugin that overrides an area of another's
    backend returns its provider for that ``backend.name`` and marks the hook ``tryfirst=True``.
    """


@hookspec(firstresult=True)
def accel_events(backend: Backend) -> Events | None:
    """The events of ``backend.device``."""


@hookspec(firstresult=True)
def accel_pinned_memory(backend: Backend) -> PinnedMemory | None:
    """The pinned-memory pool of ``backend.device``."""


@hookspec(firstresult=True)
def accel_memcpy(backend: Backend) -> Memcpy | None:
    """Copies to, from and on ``backend.device``."""


@hookspec(firstresult=True)
def accel_collectives(backend: Backend) -> Collectives | None:
    """Communicators for ``backend.device``."""


@hookspec(firstresult=True)
def accel_kv_kernels(backend: Backend) -> KVKernels | None:
    """KV-cache kernels on ``backend.device``."""
