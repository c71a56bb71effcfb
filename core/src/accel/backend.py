"""A built backend: six providers on one device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .backend_info import BackendInfo, Probe
from .capabilities import Capabilities
from .devices import DeviceSpec, torch_device
from .torch_import import import_torch

if TYPE_CHECKING:
    import torch

    from .providers import Collectives, Events, KVKernels, Memcpy, PinnedMemory, Stream, Streams

__all__ = ["AREAS", "Backend", "Override"]

#: The areas in the order in which they are built: the attribute of Backend, and its hook.
AREAS: tuple[tuple[str, str], ...] = (
    ("streams", "accel_streams"),
    ("events", "accel_events"),
    ("pinned", "accel_pinned_memory"),
    ("memcpy", "accel_memcpy"),
    ("collectives", "accel_collectives"),
    ("kv", "accel_kv_kernels"),
)


@dataclass(frozen=True)
class Override:
    """What a kernel pack did to one area of a backend."""

    area: str
    distribution: str
    used: bool
    reason: str = ""  #: why it is not used


class Backend:
    """What :func:`accel.get_backend` returns; one object for each backend name and device.

    The areas are plain attributes holding the plugin's own objects, so a call on the hot path is
    one bound method. While it is being built, a factory sees the areas built before its own.

    Attributes:
        info: the plugin's :class:`BackendInfo`.
        probe: what the plugin's probe found.
        name: ``info.name``.
        device: the ``torch.device`` it was built for.
        capabilities: level of every capability, merged from the providers in use.
        distribution: name of the installed distribution that provides it.
        version: that distribution's version.
        simulated: a simulator stands in for the hardware.
        streams, events, pinned, memcpy, collectives, kv: the areas; one that no plugin provides is
            the base class, whose members raise CapabilityError.
        overrides: areas that another distribution provides, and overrides that failed.
        blocking: every call that queues work waits for it (``ACCEL_BLOCKING=1``).
        modes: what stands in front of the providers for debugging, one line each; in ``notes``.
        closed: :meth:`close` was called.
    """

    device: torch.device
    streams: Streams
    events: Events
    pinned: PinnedMemory
    memcpy: Memcpy
    collectives: Collectives
    kv: KVKernels

    def __init__(
        self,
        info: BackendInfo,
        probe: Probe,
        device: DeviceSpec,
        distribution: str = "",
        version: str = "",
    ) -> None:
        self.info = info
        self.probe = probe
        self.name = info.name
        self.capabilities = Capabilities()
        self.distribution = distribution
        self.version = version
        self.simulated = probe.simulated
        self.overrides: tuple[Override, ...] = ()
        self.blocking = False
        self.modes: tuple[str, ...] = ()
        self.closed = False
        self._spec = device
        self._on_close: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is not set yet.
        if name == "device" and "_spec" in self.__dict__:
            # Not in __init__: torch knows a vendor's device type only after the vendor's package
            # was imported, which the first factory does.
            self.device = torch_device(import_torch(), self._spec)
            return self.device
        order = [area for area, _ in AREAS]
        if name in order:
            raise AttributeError(
                f"backend {self.__dict__.get('name')!r} has no {name!r} yet: the areas are built in"
                f" the order {', '.join(order)}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def stream(self, stream: Stream) -> AbstractContextManager[Stream]:
        """``with backend.stream(s):`` makes ``s`` current: the same as ``streams.use(s)``."""
        return self.streams.use(stream)

    @property
    def notes(self) -> tuple[str, ...]:
        """All providers' notes, as ``"area: note"``: which path serves what, and why.

        First what stands in front of all of them, :attr:`modes`.
        """
        return self.modes + tuple(
            f"{area}: {note}"
            for area, _ in AREAS
            for note in getattr(self.__dict__.get(area), "notes", ())
        )

    def close(self) -> None:
        """Close the providers, last built first. Closing twice is nothing.

        Runs by itself when the process ends. The next :func:`accel.get_backend` builds anew.

        Raises:
            Exception: what the first failing provider raised, after all were closed.
        """
        if self.closed:
            return
        self.closed = True
        for forget in self._on_close:
            forget()
        first: Exception | None = None
        for area, _ in reversed(AREAS):
            provider = self.__dict__.get(area)
            if provider is None:
                continue
            try:
                provider.close()
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def __repr__(self) -> str:
        device = self.__dict__.get("device", self._spec)
        simulated = " simulated" if self.simulated else ""
        origin = f"{self.distribution} {self.version}"
        return f"<accel backend {self.name!r} on {device}{simulated} ({origin})>"
