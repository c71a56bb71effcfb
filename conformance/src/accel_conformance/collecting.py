"""Collection: find the cases, choose among them, mark what must be skipped or may fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import accel
from accel import Backend, Capability

from .choosing import compile_pattern, matches_any, parse_levels
from .expected_failures import ExpectedFailure, expected_failures
from .running import RunOptions, item_case, item_case_id
from .seeds import fresh_run_seed

__all__ = ["CASE_PROPERTY", "REFUSED", "Collecting", "backend_under_test", "understand"]

#: The user property by which a worker tells the controller what an item is.
CASE_PROPERTY = "accel.case"

#: In what a worker leaves to the controller: why it refuses to run what was asked for.
REFUSED = "accel_refused"

_CASES = Path(__file__).parent / "cases"


def understand(config: pytest.Config) -> RunOptions:
    """The run's options; the device of an xdist worker is chosen here.

    Raises:
        pytest.UsageError: a value that makes no sense.
    """
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    seed = config.getoption("accel_seed")
    if worker is not None:
        seed = worker["accel_seed"]
    options = RunOptions(
        backend=config.getoption("accel_backend"),
        device=config.getoption("accel_device"),
        seed=fresh_run_seed() if seed is None else seed,
        quick=config.getoption("accel_quick"),
        patience=config.getoption("accel_patience"),
    )
    try:
        parse_levels(config.getoption("accel_level"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if worker is None or options.device is not None:
        return options
    return _on_own_device(options, int(worker["workerid"].removeprefix("gw")))


def _on_own_device(options: RunOptions, worker: int) -> RunOptions:
    for report in accel.explain().candidates:
        if report.name == options.backend and report.device_count > 1:
            device = f"{report.device_type}:{worker % report.device_count}"
            return RunOptions(
                options.backend, device, options.seed, options.quick, options.patience
            )
    return options


def backend_under_test(options: RunOptions) -> Backend:
    """Build it, once for this process.

    Raises:
        pytest.UsageError: with the cause and the cure.
    """
    try:
        return accel.get_backend(options.backend, options.device)
    except accel.AccelError as error:
        raise pytest.UsageError(f"{type(error).__name__}: {error}") from error


class Collecting:
    """The collection hooks."""

    def __init__(self, config: pytest.Config, backend: Backend) -> None:
        self._backend = backend
        self._levels = parse_levels(config.getoption("accel_level"))
        self._patterns = [compile_pattern(text) for text in config.getoption("accel_case")]
        try:
            self._expected = expected_failures(backend.name)
        except Exception as error:
            raise pytest.UsageError(
                f"the expected failures of backend {backend.name!r} cannot be read:"
                f" {type(error).__name__}: {error}"
            ) from error

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        # Files named on the command line are collected by pytest itself.
        is_case = file_path.parent == _CASES and file_path.suffix == ".py"
        if not is_case or file_path.name == "__init__.py" or parent.session.isinitpath(file_path):
            return None
        return pytest.Module.from_parent(parent, path=file_path)

    @pytest.hookimpl(tryfirst=True)  # before -k drops any
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        try:
            self._choose(config, items)
        except pytest.UsageError as error:
            output: dict[str, Any] | None = getattr(config, "workeroutput", None)
            if output is None:
                raise
            # xdist takes an error of a worker's collection for a crash: the controller tells this.
            output[REFUSED] = str(error)
            items.clear()

    def _choose(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        ours = [item for item in items if item.path.parent == _CASES]
        ids = [item_case_id(item) for item in ours]
        twice = sorted({case_id for case_id in ids if ids.count(case_id) > 1})
        if twice:
            raise pytest.UsageError(f"two cases have the id {', '.join(twice)}")
        for pattern in config.getoption("accel_case"):
            if not any(compile_pattern(pattern).match(case_id) for case_id in ids):
                raise pytest.UsageError(f"no case {pattern!r}; `accel-conformance list` shows them")
        kept: list[pytest.Item] = []
        dropped: list[pytest.Item] = []
        for item, case_id in zip(ours, ids, strict=True):
            wanted = item_case(item).level in self._levels and (
                not self._patterns or matches_any(case_id, self._patterns)
            )
            (kept if wanted else dropped).append(item)
            if wanted:
                self._mark(item, case_id)
        if dropped:
            config.hook.pytest_deselected(items=dropped)
        others = [item for item in items if item.path.parent != _CASES]
        items[:] = kept + others
        everything = {file for file in _CASES.glob("*.py") if file.name != "__init__.py"}
        if {item.path for item in ours} == everything:
            self._refuse_stale(ids)

    def _mark(self, item: pytest.Item, case_id: str) -> None:
        capabilities = self._needs(item)
        item.user_properties.append((CASE_PROPERTY, self._describe(item, case_id, capabilities)))
        missing = [c for c in capabilities if c not in self._backend.capabilities]
        if missing:
            names = ", ".join(str(c) for c in missing)
            item.add_marker(pytest.mark.skip(reason=f"missing capability {names}"))
            return
        if self._backend.blocking and _needs_asynchrony(item):
            item.add_marker(pytest.mark.skip(reason="ACCEL_BLOCKING=1: nothing is asynchronous"))
            return
        for expected in self._matching(case_id):
            item.add_marker(pytest.mark.xfail(reason=expected.reason, strict=True))

    def _needs(self, item: pytest.Item) -> list[Capability]:
        found = list(item_case(item).needs)
        for marker in item.iter_markers("accel_needs"):
            found += [c for c in marker.args if c not in found]
        return found

    def _matching(self, case_id: str) -> list[ExpectedFailure]:
        return [e for e in self._expected if e.matches(case_id)]

    def _refuse_stale(self, ids: list[str]) -> None:
        stale = [e.pattern for e in self._expected if not any(e.matches(i) for i in ids)]
        if stale:
            raise pytest.UsageError(
                f"backend {self._backend.name!r} declares expected failures that match no case:"
                f" {', '.join(stale)}"
            )

    def _describe(
        self, item: pytest.Item, case_id: str, capabilities: list[Capability]
    ) -> dict[str, object]:
        case = item_case(item)
        callspec = getattr(item, "callspec", None)
        parameters = {} if callspec is None else callspec.params
        return {
            "id": case_id,
            "level": case.level,
            "capabilities": [c.value for c in capabilities],
            "parameters": {k: _shown(v) for k, v in parameters.items()},
            "summary": case.summary,
            "device": str(self._backend.device),
        }


def _needs_asynchrony(item: pytest.Item) -> bool:
    """Whether the case holds a stream back, or says that calls must return before their work."""
    return item_case(item).asynchronous or "gate" in getattr(item, "fixturenames", ())


def _shown(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else str(value)
