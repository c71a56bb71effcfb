"""The pytest plugin. Inert, and cheap to load, unless ``--accel-backend`` is given."""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["CASES", "RECORDER"]

CASES = Path(__file__).parent / "cases"

pytest.register_assert_rewrite("accel_conformance.cases")

RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
_CRASH_LOGS: pytest.StashKey[tempfile.TemporaryDirectory[str]] = pytest.StashKey()
_CRASH_FD: pytest.StashKey[int] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("accel-conformance", "conformance of an accel backend")
    option = group.addoption
    option("--accel-backend", metavar="NAME", help="check this backend; what follows needs it")
    option("--accel-device", metavar="DEVICE", help="on this device, such as cuda:1")
    option("--accel-seed", metavar="N", type=int, help="seed of the run; a fresh one if not given")
    option("--accel-level", metavar="L", action="append", default=[], help="L1, or L0..L2; repeat")
    option("--accel-case", metavar="ID", action="append", default=[], help="only this id; repeat")
    option("--accel-quick", action="store_true", help="fewer rounds of what is repeated")
    option("--accel-patience", metavar="X", type=float, default=1.0, help="factor on time limits")
    for kind in ("json", "markdown", "html", "badge", "junit"):
        option(f"--accel-{kind}", metavar="FILE", help=f"write the report there as {kind}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "accel_needs(*capabilities): skipped without one of them")
    if not config.getoption("accel_backend"):
        return
    # Imported only now: every pytest run of the environment loads this module.
    from . import collecting, fixtures
    from .recorder import Recorder
    from .running import RUN_OPTIONS

    options = collecting.understand(config)
    config.stash[RUN_OPTIONS] = options
    backend = collecting.backend_under_test(options)
    config.pluginmanager.register(fixtures, "accel-conformance-fixtures")
    config.pluginmanager.register(_Around(config), "accel-conformance-around")
    config.pluginmanager.register(collecting.Collecting(config, backend), "accel-collecting")
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        log = os.path.join(worker["accel_crash_logs"], worker["workerid"])
        config.stash[_CRASH_FD] = os.open(log, os.O_CREAT | os.O_WRONLY, 0o600)
        return
    config.stash[_CRASH_FD] = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    config.stash[_CRASH_LOGS] = tempfile.TemporaryDirectory(prefix="accel-conformance-")
    recorder = Recorder(options, backend, config.stash[_CRASH_LOGS].name)
    config.stash[RECORDER] = recorder
    config.pluginmanager.register(recorder, "accel-conformance-recorder")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _CRASH_LOGS in config.stash:
        config.stash[_CRASH_LOGS].cleanup()
    if _CRASH_FD in config.stash:
        os.close(config.stash[_CRASH_FD])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: what a worker has to know from the controller."""
    from .running import RUN_OPTIONS

    if RUN_OPTIONS in node.config.stash:
        node.workerinput["accel_seed"] = node.config.stash[RUN_OPTIONS].seed
        node.workerinput["accel_crash_logs"] = node.config.stash[_CRASH_LOGS].name


class _Around:
    """What happens around each case."""

    def __init__(self, config: pytest.Config) -> None:
        from .lasting_objects import LastingObjects

        self._config = config
        self._lasting = LastingObjects()

    def pytest_sessionstart(self) -> None:
        if hasattr(self._config, "workerinput"):
            # A crash of native code is then shown with the case, not lost among the output.
            faulthandler.enable(file=self._config.stash[_CRASH_FD])
            from .one_thread import share_threads

            share_threads(int(self._config.workerinput["workercount"]))

    def pytest_sessionfinish(self) -> None:
        if not hasattr(self._config, "workerinput"):
            self._lasting.give_back()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        from .running import END_OF_CASE, EndOfCase, item_case, run_options, watchdog

        self._lasting.set_apart()
        item.stash[END_OF_CASE] = EndOfCase()
        limit = item_case(item).seconds * run_options(self._config).patience
        try:
            with watchdog(limit, self._config.stash[_CRASH_FD]):
                return (yield)
        finally:
            # Items live as long as the run; the streams and buffers of a case shall not.
            del item.stash[END_OF_CASE]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        from .running import around_case, excused

        try:
            with around_case(item):
                yield
        except Exception:
            if not excused(item):
                raise
            note = "a gate expired; the first use of a kernel may wait for the device"
            item.user_properties.append(("accel.figure.run_again", note))
            with around_case(item):
                item.runtest()
