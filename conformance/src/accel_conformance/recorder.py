"""Turns pytest's reports, of this process or of xdist's workers, into the run's Report."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import pytest

from accel import Backend, Capability

from .case import case_id, case_of
from .choosing import parse_levels
from .collecting import CASE_PROPERTY, REFUSED
from .report import CapabilityVerdict, CaseResult, Report, write_reports
from .report.environment import describe_environment, rerun_command
from .running import RunOptions

__all__ = ["FIGURE_PREFIX", "WARNING_PROPERTY", "Recorder"]

FIGURE_PREFIX = "accel.figure."
WARNING_PROPERTY = "accel.warning"
_RANK = {"passed": 0, "skipped": 1, "xfailed": 2, "xpassed": 3, "failed": 4, "error": 5}


class Recorder:
    """Lives in the controller. ``report()`` may be asked for at any time."""

    def __init__(self, options: RunOptions, backend: Backend, crash_logs: str) -> None:
        self.options = options
        self.results: dict[str, CaseResult] = {}
        self.problems: list[str] = []
        #: Cases that will run; known when collection is done.
        self.expected = 0
        self._backend = backend
        self._crash_logs = Path(crash_logs)
        self._started = time.monotonic()
        self._config: pytest.Config | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._config = session.config
        self._started = time.monotonic()
        levels = parse_levels(session.config.getoption("accel_level"))
        self._environment = describe_environment(self.options, self._backend, levels)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.expected = max(self.expected, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.expected = max(self.expected, len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            text = f"{report.nodeid}: {report.longreprtext.strip()}"
            if text not in self.problems:  # each xdist worker collects
                self.problems.append(text)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        refused = getattr(node, "workeroutput", {}).get(REFUSED)
        if refused is not None and refused not in self.problems:  # every worker refuses it
            self.problems.append(refused)

    def pytest_internalerror(self, excrepr: object) -> None:
        self.problems.append(f"internal error: {excrepr}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        described: dict[str, Any] | None = properties.get(CASE_PROPERTY)  # type: ignore[assignment]
        if described is None:
            described = self._describe_crashed(report.nodeid)
        outcome, message = _judge(report)
        # What xdist calls the phase of a case whose worker died.
        crashed = str(report.when) == "???"
        if crashed:
            message = "the worker process crashed, or was ended after the case's time limit"
        details = _text(report) if outcome in ("failed", "error") else ""
        known = self.results.get(report.nodeid)
        result = CaseResult(
            id=described["id"],
            level=described["level"],
            capabilities=tuple(described["capabilities"]),
            parameters=described["parameters"],
            summary=described["summary"],
            outcome=outcome,
            seconds=report.duration + (known.seconds if known else 0.0),
            message=message,
            details=details + (self._crash_log(report) if crashed else ""),
            device=described["device"],
            worker=getattr(report, "worker_id", "main"),
            rerun=rerun_command(self.options, described["id"]),
            warnings=tuple(str(v) for k, v in report.user_properties if k == WARNING_PROPERTY),
            figures={
                k.removeprefix(FIGURE_PREFIX): v
                for k, v in report.user_properties
                if k.startswith(FIGURE_PREFIX)
            },
        )
        if known is not None and _RANK[known.outcome] > _RANK[result.outcome]:
            result = replace(
                known, seconds=result.seconds, warnings=result.warnings, figures=result.figures
            )
        self.results[report.nodeid] = result

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.getoption("collectonly", False):
            return
        missing = self.expected - len(self.results)
        if missing > 0:
            self.problems.append(f"{missing} of {self.expected} cases did not report an outcome")
        report = self.report()
        if not report.ok and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.results or report.problems:
            paths = {
                kind: session.config.getoption(f"accel_{kind}")
                for kind in ("json", "markdown", "html", "badge", "junit")
            }
            write_reports(report, {k: Path(p) for k, p in paths.items() if p})

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.results:
            return
        from .report.terminal import print_report

        print_report(self.report())

    def report(self) -> Report:
        """What is known so far."""
        results = tuple(sorted(self.results.values(), key=lambda r: (r.level, r.id)))
        return Report(
            environment=self._environment,
            cases=results,
            capabilities=tuple(_verdicts(self._backend, results)),
            seconds=time.monotonic() - self._started,
            problems=tuple(self.problems),
        )

    def _crash_log(self, report: pytest.TestReport) -> str:
        words = _text(report).replace("'", " ").split()
        logs = [self._crash_logs / w for w in words if w.startswith("gw")]
        return "\n" + "".join(
            log.read_text(encoding="utf-8", errors="replace") for log in logs if log.exists()
        )

    @staticmethod
    def _describe_crashed(nodeid: str) -> dict[str, Any]:
        path, _, name = nodeid.partition("::")
        module = import_module(f"accel_conformance.cases.{PurePath(path).stem}")
        found = case_of(getattr(module, name.partition("[")[0]))
        assert found is not None
        return {
            "id": case_id(found.level, path, name),
            "level": found.level,
            "capabilities": [c.value for c in found.needs],
            "parameters": {},
            "summary": found.summary,
            "device": "",
        }


def _judge(report: pytest.TestReport) -> tuple[str, str]:
    """The outcome that this phase of a case speaks for, and one line of why."""
    text = _text(report)
    if report.outcome == "passed":
        return "passed", ""
    reason = getattr(report, "wasxfail", None)
    if report.outcome == "skipped":
        if reason is not None:
            return "xfailed", str(reason).removeprefix("reason: ")
        return "skipped", _skip_reason(report)
    if text.startswith("[XPASS(strict)]"):
        said = text.removeprefix("[XPASS(strict)]").strip()
        return "xpassed", f"passed, but is declared to fail: {said}"
    in_setup_or_teardown = report.when in ("setup", "teardown")
    return ("error" if in_setup_or_teardown else "failed"), _error_line(report)


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return _text(report)


def _text(report: pytest.TestReport) -> str:
    """The traceback, without the line that xdist puts before it."""
    if isinstance(report.longrepr, str):
        return report.longrepr
    text = report.longreprtext
    return text.partition("\n")[2] if text.startswith("[gw") else text


def _error_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else _text(report)
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[0] if lines else ""


def _verdicts(backend: Backend, results: Iterable[CaseResult]) -> list[CapabilityVerdict]:
    results = list(results)
    verdicts = []
    for capability in Capability:
        about = [r for r in results if capability.value in r.capabilities]
        probed = [r for r in results if r.parameters.get("probed") == capability.value]
        ran = [r for r in about if r.outcome != "skipped"]
        bad = [r for r in [*ran, *probed] if r.outcome not in ("passed", "skipped")]
        note = "; ".join(w for r in probed for w in r.warnings)
        if bad:
            verified, note = "failed", f"{len(bad)} cases: {bad[0].id}"
        else:
            verified = "yes" if ran else "no"
        level = str(backend.capabilities[capability])
        verdicts.append(CapabilityVerdict(capability.value, level, verified, len(ran), note))
    return verdicts
