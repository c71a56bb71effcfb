"""One entry point of group ``accel.backends``, and everything found out about it so far."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..backend_info import BackendInfo, Probe
from ..distributions import FoundDistribution
from ..errors import AccelError, PluginError

__all__ = ["Candidate", "Fault", "Status"]


class Status(str, Enum):
    """What a candidate is good for."""

    USABLE = "usable"  #: sound, and its probe says yes
    UNAVAILABLE = "unavailable"  #: sound, but its hardware or driver is not there
    BROKEN = "broken"  #: raised, or breaks the contract; ``fault`` says where and why
    AMBIGUOUS = "ambiguous"  #: another installed plugin claims the same name
    KERNEL_PACK = "kernel pack"  #: provides no backend, overrides areas of others

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Fault:
    """Why a plugin cannot be used."""

    stage: str  #: import, accel_backend_info, version, hooks, accel_probe, or a factory's name
    message: str
    cure: str
    cause: BaseException | None = None
    error_type: type[PluginError] = PluginError

    @property
    def traceback(self) -> str:
        """The cause's traceback as text; empty when nothing was raised."""
        return "" if self.cause is None else "".join(traceback.format_exception(self.cause))

    def error(self, extra_cure: str = "") -> PluginError:
        """The exception to raise, with the plugin's own as its cause."""
        cure = f"{self.cure}; or {extra_cure}" if extra_cure else self.cure
        error = self.error_type(self.message, cure)
        error.__cause__ = self.cause
        return error


@dataclass(eq=False)
class Candidate:
    """Filled in step by step: loaded, then told its info, then probed, then perhaps built."""

    entry_point: str
    value: str
    distribution: FoundDistribution
    plugin: Any = None
    info: BackendInfo | None = None
    probe: Probe | None = None
    fault: Fault | None = None
    #: A kernel pack. A plugin that is broken before it could say so is none: it may be anything.
    overrides_only: bool = False
    #: The last build failed; kept for ``explain()``, cleared by a build that succeeds.
    build_fault: Fault | None = None
    rivals: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The backend's name; the entry point's while the plugin has not said."""
        return self.info.name if self.info else self.entry_point

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"plugin {self.entry_point!r} of {self.distribution}"

    @property
    def device_type(self) -> str | None:
        """The device type it drives; None while unknown, and for a kernel pack."""
        return self.info.device_type if self.info else None

    @property
    def is_kernel_pack(self) -> bool:
        """Sound, and without a backend of its own."""
        return self.overrides_only and self.fault is None

    @property
    def automatic(self) -> bool:
        """May be chosen without being named; unknown for a plugin that could not say, so True."""
        return self.info is None or self.info.priority >= 0

    @property
    def rank(self) -> tuple[int, str, str]:
        """Sort key, best first."""
        priority = self.info.priority if self.info else 0
        return (-priority, self.name, self.distribution.name)

    @property
    def status(self) -> Status:
        """What it is good for, as far as is known (a probe that has not run is no obstacle)."""
        if self.fault is not None:
            return Status.BROKEN
        if self.rivals:
            return Status.AMBIGUOUS
        if self.overrides_only:
            return Status.KERNEL_PACK
        if self.probe is not None and not self.probe.available:
            return Status.UNAVAILABLE
        return Status.BROKEN if self.build_fault is not None else Status.USABLE

    @property
    def hardware_seen(self) -> bool:
        """Its probe found hardware, usable or not."""
        return self.probe is not None and (self.probe.available or self.probe.hardware_present)


def cure_of(error: BaseException, otherwise: str) -> str:
    """The cure that an accel error carries, else ``otherwise``."""
    return (error.cure if isinstance(error, AccelError) else "") or otherwise
