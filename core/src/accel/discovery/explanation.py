"""Why a backend was chosen, and why every other was not: the result of :func:`accel.explain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..backend import Backend, Override
from .candidate import Candidate, Fault, Status
from .selection import Choice

__all__ = ["CandidateReport", "Explanation", "report"]


@dataclass(frozen=True)
class CandidateReport:
    """One installed entry point of group ``accel.backends``."""

    name: str  #: the backend's name; the entry point's when the plugin could not say
    entry_point: str
    distribution: str
    version: str
    status: str  #: usable, unavailable, broken, ambiguous, kernel pack
    chosen: bool
    why: str  #: why it was chosen, or was not
    device_type: str | None = None
    priority: int | None = None
    summary: str = ""
    reason: str = ""  #: what the probe found, or what is broken
    cure: str = ""
    device_count: int = 0
    simulated: bool = False
    hardware_present: bool = False
    details: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stage: str = ""  #: where a broken one failed
    traceback: str = ""


@dataclass(frozen=True)
class Explanation:
    """What :func:`accel.get_backend` does for the same arguments. ``str()`` is for people."""

    request: Mapping[str, str | None]
    chosen: str | None
    because: str
    error: str  #: what get_backend would raise before it builds; empty when it would not
    error_type: str
    cure: str
    warnings: tuple[str, ...]
    candidates: tuple[CandidateReport, ...]
    problems: tuple[str, ...]  #: damaged distributions
    built: bool  #: the chosen backend has been built in this process
    device: str = ""  #: of the built backend
    capabilities: Mapping[str, str] = field(default_factory=dict)  #: of the built backend
    overrides: tuple[Override, ...] = ()  #: of the built backend
    notes: tuple[str, ...] = ()  #: of the built backend

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings, numbers and None, for JSON."""
        plain = asdict(self)
        for key in ("warnings", "problems", "notes"):
            plain[key] = list(plain[key])
        plain["overrides"] = list(plain["overrides"])
        plain["candidates"] = [{**c, "notes": list(c["notes"])} for c in plain["candidates"]]
        return plain

    def __str__(self) -> str:
        asked = ", ".join(f"{k}={v}" for k, v in self.request.items() if v)
        lines = [f"accel backends (asked: {asked or 'automatic choice'})"]
        if self.chosen is not None:
            lines.append(f"chosen: {self.chosen}, because: {self.because}")
        else:
            lines.append(f"chosen: none. {self.error_type}: {self.error}")
        lines += [f"warning: {w}" for w in self.warnings]
        for candidate in self.candidates:
            lines += _candidate_lines(candidate)
        if not self.candidates:
            lines.append("no plugin is installed")
        lines += [f"problem: {p}" for p in self.problems]
        if self.built:
            lines.append(f"built on {self.device}")
        for override in self.overrides:
            state = "provided by" if override.used else f"override failed ({override.reason}):"
            lines.append(f"  {override.area} {state} {override.distribution}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def _candidate_lines(candidate: CandidateReport) -> list[str]:
    mark = "*" if candidate.chosen else "-"
    facts = [f"{candidate.distribution} {candidate.version}".rstrip(), candidate.status]
    if candidate.device_type:
        facts.append(f"device {candidate.device_type}")
    if candidate.priority is not None:
        facts.append(f"priority {candidate.priority}")
    if candidate.simulated:
        facts.append("simulated")
    lines = [f"{mark} {candidate.name} ({', '.join(facts)})"]
    if candidate.reason:
        lines.append(f"    {candidate.reason}")
    if candidate.why and candidate.why != candidate.reason:
        lines.append(f"    {'chosen' if candidate.chosen else 'not chosen'}: {candidate.why}")
    if candidate.cure:
        lines.append(f"    cure: {candidate.cure}")
    lines += [f"    note: {note}" for note in candidate.notes]
    return lines


def report(
    request: Mapping[str, str | None],
    choice: Choice,
    candidates: list[Candidate],
    problems: list[str],
    backend: Backend | None,
) -> Explanation:
    """The explanation of ``choice``; ``backend`` is the built one, if there is one."""
    error = choice.error
    return Explanation(
        request=dict(request),
        chosen=choice.chosen.name if choice.chosen else None,
        because=choice.because if choice.chosen else "",
        error=str(error) if error else "",
        error_type=type(error).__name__ if error else "",
        cure=error.cure if error else "",
        warnings=tuple(choice.warnings) if choice.chosen else (),
        candidates=tuple(_candidate(c, choice) for c in candidates),
        problems=tuple(problems),
        built=backend is not None,
        device=str(backend.device) if backend else "",
        capabilities={str(c): str(v) for c, v in backend.capabilities.items()} if backend else {},
        overrides=backend.overrides if backend else (),
        notes=backend.notes if backend else (),
    )


def _candidate(candidate: Candidate, choice: Choice) -> CandidateReport:
    info, probe = candidate.info, candidate.probe
    fault: Fault | None = candidate.fault or candidate.build_fault
    reason, cure = "", ""
    if fault is not None:
        reason, cure = fault.message, fault.cure
    elif candidate.status is Status.AMBIGUOUS:
        others = ", ".join(str(r.distribution) for r in candidate.rivals)
        reason = f"{others} claims the same name"
        cure = f"`pip uninstall {candidate.distribution.name}`, or the other one"
    elif candidate.status is Status.KERNEL_PACK:
        reason = "provides no backend, overrides areas of others"
    elif probe is not None:
        reason, cure = probe.reason, probe.cure
    chosen = candidate is choice.chosen
    return CandidateReport(
        name=candidate.name,
        entry_point=candidate.entry_point,
        distribution=candidate.distribution.name,
        version=candidate.distribution.version,
        status=str(candidate.status),
        chosen=chosen,
        why=choice.because if chosen else choice.why_not.get(candidate, ""),
        device_type=info.device_type if info else None,
        priority=info.priority if info else None,
        summary=info.summary if info else "",
        reason=reason,
        cure=cure,
        device_count=probe.device_count if probe else 0,
        simulated=probe.simulated if probe else False,
        hardware_present=candidate.hardware_seen,
        details=dict(probe.details) if probe else {},
        notes=tuple(candidate.notes),
        stage=fault.stage if fault else "",
        traceback=fault.traceback if fault else "",
    )
