"""Failures that a vendor knows of, declared in the vendor's own package.

One way to declare them: an entry point of group ``accel.conformance_xfails``, named after the
backend, whose value is a mapping from a case id (or an id with ``*``) to the reason::

    # pyproject.toml of the plugin
    [project.entry-points."accel.conformance_xfails"]
    mychip = "accel_mychip.conformance:XFAILS"

    # accel_mychip/conformance.py
    XFAILS = {"L1-streams::priority*": "driver 1.2 ignores priorities, fixed in 1.3"}

Such a case runs. If it fails it counts as ``xfailed``; if it passes, the declaration is out of
date, and that is an error. So is a pattern that matches no case at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from .choosing import compile_pattern

__all__ = ["GROUP", "ExpectedFailure", "expected_failures"]

GROUP = "accel.conformance_xfails"


@dataclass(frozen=True)
class ExpectedFailure:
    """One line of a vendor's declaration."""

    pattern: str
    reason: str
    matcher: re.Pattern[str]

    def matches(self, case_id: str) -> bool:
        """True when it speaks of this case."""
        return self.matcher.match(case_id) is not None


def expected_failures(backend: str) -> list[ExpectedFailure]:
    """What the plugin of ``backend`` declares; empty when it declares nothing.

    Raises:
        ValueError: the declaration is no mapping from strings to non-empty reasons.
        Exception: whatever importing the declaration raises.
    """
    found: list[ExpectedFailure] = []
    for point in entry_points(group=GROUP, name=backend):
        declared = point.load()
        if not isinstance(declared, Mapping):
            raise ValueError(
                f"{GROUP} {point.name} = {point.value}: expected a mapping from case ids to"
                f" reasons, given {type(declared).__name__}"
            )
        for pattern, reason in declared.items():
            if not isinstance(pattern, str) or not isinstance(reason, str) or not reason.strip():
                raise ValueError(
                    f"{GROUP} {point.name} = {point.value}: expected a reason for each case id,"
                    f" given {pattern!r}: {reason!r}"
                )
            found.append(ExpectedFailure(pattern, reason, compile_pattern(pattern)))
    return found
