"""One row of ``accel bench decode``: the loop in every mode, and what follows from the times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from accel import PipelineReport

from ..rows import Status

__all__ = ["DecodeRow", "ModeTimes"]


@dataclass(frozen=True)
class ModeTimes:
    """Milliseconds of whole passes: medians, and the least and most of the elapsed ones."""

    elapsed: float  #: on the compute stream
    submit: float  #: until the host had queued the pass
    least: float
    most: float
    passes: int

    @classmethod
    def of(cls, times: Sequence[tuple[float, float]]) -> ModeTimes:
        """The summary of (elapsed, submit) of each pass."""
        elapsed, submit = ([t[i] for t in times] for i in (0, 1))
        return cls(median(elapsed), median(submit), min(elapsed), max(elapsed), len(times))

    def as_json(self) -> dict[str, float | int]:
        return {
            "elapsed_ms": self.elapsed,
            "submit_ms": self.submit,
            "min_ms": self.least,
            "max_ms": self.most,
            "passes": self.passes,
        }


@dataclass(frozen=True)
class DecodeRow:
    """``modes`` are "compute" (alone), "pipelined", "synchronous", and "by hand" where torch can.

    What is derived is None where nothing was measured.
    """

    name: str
    status: Status
    layers: int
    layer_bytes: int
    ahead: int
    level: str
    source: str  #: kind of host memory
    reason: str = ""
    modes: Mapping[str, ModeTimes] = field(default_factory=dict)
    reports: Mapping[str, PipelineReport] = field(default_factory=dict)
    copy_ms: float = 0.0  #: of a layer, alone
    extent: int = 0  #: of the square matrices multiplied
    checked: int = 0
    simulated: bool = False

    @property
    def compute_ms(self) -> float | None:
        """Of a layer, alone."""
        alone = self.modes.get("compute")
        return alone.elapsed / self.layers if alone else None

    @property
    def hidden(self) -> float | None:
        """Share of the time of all copies by which the loop is not longer than its compute."""
        if not self.modes or self.copy_ms <= 0:
            return None
        exposed = self.modes["pipelined"].elapsed - self.modes["compute"].elapsed
        return min(1.0, max(0.0, 1 - exposed / (self.layers * self.copy_ms)))

    @property
    def hidden_after_first(self) -> float | None:
        """By the pipe's own events: share of the copies, but the first, that nobody waited for."""
        report = self.reports.get("pipelined")
        return report.hidden_after_first if report else None

    @property
    def gain(self) -> float | None:
        """Synchronous over pipelined."""
        if not self.modes:
            return None
        return self.modes["synchronous"].elapsed / self.modes["pipelined"].elapsed

    @property
    def bound(self) -> float | None:
        """The gain if waiting cost nothing: the first copy and the last compute stand alone."""
        compute = self.compute_ms
        if compute is None:
            return None
        best = self.copy_ms + (self.layers - 1) * max(self.copy_ms, compute) + compute
        return self.layers * (self.copy_ms + compute) / best

    def submit_beyond_ms(self, mode: str) -> float | None:
        """Host time of a layer's share of the loop, beyond that of its products."""
        if mode not in self.modes:
            return None
        return (self.modes[mode].submit - self.modes["compute"].submit) / self.layers

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "level": self.level,
            "simulated": self.simulated,
            "layers": self.layers,
            "layer_bytes": self.layer_bytes,
            "ahead": self.ahead,
            "from": self.source,
            "copy_ms": self.copy_ms,
            "compute_ms": self.compute_ms,
            "extent": self.extent,
            "modes": {name: times.as_json() for name, times in self.modes.items()},
            "hidden": self.hidden,
            "hidden_after_first": self.hidden_after_first,
            "gain": self.gain,
            "bound": self.bound,
            "submit_beyond_ms": self.submit_beyond_ms("pipelined"),
            "submit_beyond_ms_by_hand": self.submit_beyond_ms("by hand"),
            "reports": {name: report.as_json() for name, report in self.reports.items()},
            "checked": self.checked,
        }
