"""What a plugin says about itself and the machine, before anything of the vendor is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BackendInfo", "Probe"]


@dataclass(frozen=True)
class BackendInfo:
    """The identity of a backend.

    Attributes:
        name: what ``get_backend(name)`` and ``ACCEL_BACKEND`` call it: lower case, no spaces.
        device_type: the torch device type it drives (``cpu``, ``cuda``, ``npu``, ``mlu``).
        hookspec_version: ``accel.HOOKSPEC_VERSION`` of the core it was written for: a literal, so
            that a newer core can tell an older plugin.
        priority: among backends whose probe says yes the highest is chosen: 100 for accelerators,
            0 for the CPU, negative for backends never chosen by themselves.
        summary: one line for tables.
    """

    name: str
    device_type: str
    hookspec_version: int
    priority: int = 100
    summary: str = ""


@dataclass(frozen=True)
class Probe:
    """Whether the hardware and its driver are here.

    Attributes:
        available: the backend can be built now.
        reason: what was looked at and found, one sentence; shown by ``explain()``.
        cure: the command or action that would make it available; empty when available.
        device_count: devices seen; 0 when not available.
        simulated: a simulator stands in for the hardware; reports carry the word.
        hardware_present: hardware was seen even though the backend is not available (a driver is
            missing, say). Automatic choice then raises instead of falling back to the CPU.
        details: versions and paths worth printing.
    """

    available: bool
    reason: str
    cure: str = ""
    device_count: int = 0
    simulated: bool = False
    hardware_present: bool = False
    details: Mapping[str, str] = field(default_factory=dict)
