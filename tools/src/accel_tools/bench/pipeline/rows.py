"""One row: a pipeline and its synchronous twin, measured in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from accel import PipelineReport

from ..rows import Status

__all__ = ["ModeFigures", "PipelineRow"]


@dataclass(frozen=True)
class ModeFigures:
    """Passes of one mode. ``typical`` is the pass of median length; all figures but the extremes
    are its own, so that they belong together. Milliseconds."""

    typical: PipelineReport
    elapsed: tuple[float, ...]  #: of every pass

    @classmethod
    def of(cls, reports: Sequence[PipelineReport]) -> ModeFigures:
        """The summary of complete, timed passes; an even number of them counts the lower one."""
        ranked = sorted(reports, key=_elapsed)
        return cls(ranked[(len(ranked) - 1) // 2], tuple(_elapsed(r) for r in reports))

    @property
    def elapsed_ms(self) -> float:
        return _elapsed(self.typical)

    def as_json(self) -> dict[str, Any]:
        """The typical pass with its spans, and the spread over all passes."""
        spread = {"min": min(self.elapsed), "median": median(self.elapsed)}
        return {
            **self.typical.as_json(),
            "passes": len(self.elapsed),
            "elapsed_ms_of_passes": {**spread, "max": max(self.elapsed)},
        }


@dataclass(frozen=True)
class PipelineRow:
    """``bytes`` is what one pass copies to the device."""

    name: str
    status: Status
    bytes: int
    level: str  #: how the backend claims to copy
    labels: Mapping[str, str | int | float] = field(default_factory=dict)
    reason: str = ""  #: of anything but OK
    pipelined: ModeFigures | None = None
    synchronous: ModeFigures | None = None
    checked: int = 0  #: times all layers were compared, in either mode, and found right
    simulated: bool = False

    @property
    def speedup(self) -> float | None:
        """Synchronous over pipelined."""
        if self.pipelined is None or self.synchronous is None or not self.pipelined.elapsed_ms:
            return None
        return self.synchronous.elapsed_ms / self.pipelined.elapsed_ms

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "labels": dict(self.labels),
            "level": self.level,
            "simulated": self.simulated,
            "bytes": self.bytes,
            "pipelined": self.pipelined.as_json() if self.pipelined else None,
            "synchronous": self.synchronous.as_json() if self.synchronous else None,
            "speedup": self.speedup,
            "checked": self.checked,
        }


def _elapsed(report: PipelineReport) -> float:
    assert report.elapsed_ms is not None
    return report.elapsed_ms
