"""What the six areas have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..capabilities import Capability, Level
from ..errors import CapabilityError

__all__ = ["Provider"]


class Provider:
    """One area of one backend on one device.

    ``capabilities`` holds the levels of this area's capabilities. A class attribute is enough when
    they are known beforehand; a provider that finds out at construction assigns an instance
    attribute. ``notes`` is for people: one line per choice made at construction (which path serves
    a call, what was not found), shown by ``explain()`` and ``accel doctor``.
    """

    capabilities: Mapping[Capability, Level] = {}
    notes: tuple[str, ...] = ()

    #: The area's name: the attribute of Backend, and the hook ``accel_<area>``.
    area: ClassVar[str] = ""

    #: The backend's name, for messages; set by core when the backend is built.
    backend_name: str = ""

    def unsupported(self, capability: Capability, cure: str = "") -> CapabilityError:
        """The error for a member that this provider does not have; raise what it returns."""
        return CapabilityError(str(capability), self.backend_name or type(self).__name__, cure)

    def close(self) -> None:
        """Release what the provider holds. Called once, when the process ends or a test is done."""
