"""The result of a run, as plain data that goes to JSON and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from .schema import SCHEMA, check_document

__all__ = [
    "OUTCOMES",
    "CapabilityVerdict",
    "CaseResult",
    "Environment",
    "LevelTotals",
    "Report",
]

T = TypeVar("T")

#: xfailed: failed as its vendor declared. xpassed: passed although declared to fail, an error.
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
BAD = ("failed", "error", "xpassed")


@dataclass(frozen=True)
class Environment:
    """Where the run took place, and what was asked for."""

    backend: str
    device: str
    distribution: str
    version: str
    simulated: bool
    probe: str  #: what the backend's probe said
    seed: int
    quick: bool
    levels: tuple[int, ...]
    command: str  #: how to repeat the run
    started: str  #: ISO 8601, UTC
    python: str
    torch: str
    accel: str
    conformance: str
    system: str
    machine: str
    cpu: str
    cpu_count: int
    details: Mapping[str, str] = field(default_factory=dict)  #: from the probe
    notes: tuple[str, ...] = ()  #: the backend's own


@dataclass(frozen=True)
class CaseResult:
    """One case, with its parameters."""

    id: str
    level: int
    capabilities: tuple[str, ...]
    parameters: Mapping[str, str]
    summary: str
    outcome: str
    seconds: float
    message: str  #: one line: why it failed or was skipped
    details: str  #: the traceback
    device: str
    worker: str
    rerun: str  #: the command that runs only this case, on the same data
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bad(self) -> bool:
        """It makes the run fail."""
        return self.outcome in BAD


@dataclass(frozen=True)
class LevelTotals:
    """Counts of one level, or of the run."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        """All of them."""
        return sum(getattr(self, outcome) for outcome in OUTCOMES)

    @property
    def ran(self) -> int:
        """All but the skipped."""
        return self.cases - self.skipped


@dataclass(frozen=True)
class CapabilityVerdict:
    """One capability: what the plugin claims, and what the cases found."""

    capability: str
    level: str  #: native, composed, staged, unsupported
    #: yes: cases that need it ran and passed; failed: one failed; no: none ran.
    verified: str
    cases: int  #: how many ran
    note: str = ""


@dataclass(frozen=True)
class Report:
    """A whole run."""

    environment: Environment
    cases: tuple[CaseResult, ...]
    capabilities: tuple[CapabilityVerdict, ...]
    seconds: float  #: wall clock
    problems: tuple[str, ...] = ()  #: what kept cases from being collected or run

    @property
    def ok(self) -> bool:
        """Cases ran, none failed, no expected failure passed, and nothing was in the way."""
        return not self.problems and self.totals.ran > 0 and not any(c.bad for c in self.cases)

    @property
    def totals(self) -> LevelTotals:
        """Counts of the run."""
        return _totals(self.cases)

    @property
    def levels(self) -> dict[int, LevelTotals]:
        """Counts by level, for the levels that have cases here."""
        present = sorted({c.level for c in self.cases})
        return {n: _totals(c for c in self.cases if c.level == n) for n in present}

    @property
    def failures(self) -> list[CaseResult]:
        """The cases that make the run fail."""
        return [c for c in self.cases if c.bad]

    @property
    def skip_reasons(self) -> dict[str, int]:
        """How many cases were skipped for each reason, most first."""
        counts: dict[str, int] = {}
        for result in self.cases:
            if result.outcome == "skipped":
                counts[result.message] = counts.get(result.message, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def title(self) -> str:
        """``accel conformance: cpu on cpu``, with the word simulated where it applies."""
        environment = self.environment
        simulated = " (simulated)" if environment.simulated else ""
        return f"accel conformance: {environment.backend} on {environment.device}{simulated}"

    @property
    def verdict(self) -> str:
        """One line."""
        totals = self.totals
        parts = [f"{getattr(totals, o)} {o}" for o in OUTCOMES if getattr(totals, o)]
        text = ", ".join(parts) or "no case ran"
        simulated = "simulated, " if self.environment.simulated else ""
        return f"{'conformant' if self.ok else 'NOT conformant'} ({simulated}{text})"

    def to_json(self) -> dict[str, Any]:
        """The document described by ``schema.json``."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "ok": self.ok,
            "simulated": self.environment.simulated,
            "environment": _plain(asdict(self.environment)),
            "seconds": self.seconds,
            "totals": {**asdict(self.totals), "cases": self.totals.cases},
            "levels": {f"L{n}": {**asdict(t), "cases": t.cases} for n, t in self.levels.items()},
            "capabilities": [asdict(v) for v in self.capabilities],
            "cases": [_plain(asdict(c)) for c in self.cases],
            "problems": list(self.problems),
        }

    @classmethod
    def from_json(cls, document: object) -> Report:
        """The report that was saved.

        Raises:
            ValueError: not such a document; names the place in it.
        """
        checked = check_document(document)
        return cls(
            environment=_make(Environment, checked["environment"]),
            cases=tuple(_make(CaseResult, c) for c in checked["cases"]),
            capabilities=tuple(_make(CapabilityVerdict, v) for v in checked["capabilities"]),
            seconds=checked["seconds"],
            problems=tuple(checked["problems"]),
        )


def _totals(cases: Iterable[CaseResult]) -> LevelTotals:
    counts = dict.fromkeys(OUTCOMES, 0)
    seconds = 0.0
    for result in cases:
        counts[result.outcome] += 1
        seconds += result.seconds
    return LevelTotals(**counts, seconds=seconds)


def _plain(value: Any) -> Any:
    # tuples become lists, as they do in JSON
    return json.loads(json.dumps(value))


def _make(kind: type[T], values: Mapping[str, Any]) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
    )
