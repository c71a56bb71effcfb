"""Programs run under a simulator, each in a process of its own; for tests and tools."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .environment import child_environment
from .modes import Modes
from .registry import simulator as simulator_named
from .simulator import Simulator
from .trace import ProcessTrace, read_traces

__all__ = ["Finished", "ProgramFailedError", "Simulation"]

#: A program that never ends must not hold a test run; generous, as machines may be busy.
LIMIT_SECONDS = 600.0


class ProgramFailedError(AssertionError):
    """A program ended with another exit status than 0; has what it wrote."""


@dataclass(frozen=True)
class Finished:
    """What became of a program.

    Attributes:
        returncode: its exit status; the negative number of the signal that ended it.
        stdout: what it wrote, as text.
        stderr: likewise.
        seed: of the simulator's modes, to repeat it.
    """

    returncode: int
    stdout: str
    stderr: str
    seed: int

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.stdout.splitlines()

    @property
    def last(self) -> str:
        """The last line of stdout: what a snippet printed last."""
        lines = self.lines
        return lines[-1] if lines else ""

    def check(self) -> Finished:
        """This, if the program succeeded.

        Raises:
            ProgramFailedError: it did not.
        """
        if self.returncode != 0:
            raise ProgramFailedError(
                f"the program ended with {self.returncode} (seed {self.seed})\n"
                f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-8000:]}"
            )
        return self


class Simulation:
    """A simulator with its modes set.

    Args:
        simulator: its name, or itself.
        modes: how it behaves; a fresh seed is taken if they have none.
        folder: where snippets and traces are kept; a temporary one by default.
        choices: the simulator's own options, such as ``{"cann": "8.0"}``.
        python: the interpreter; this one by default.
        variables: further variables of the programs.
    """

    def __init__(
        self,
        simulator: str | Simulator,
        modes: Modes | None = None,
        *,
        folder: Path | None = None,
        choices: Mapping[str, str] | None = None,
        python: str = sys.executable,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        found = simulator_named(simulator) if isinstance(simulator, str) else simulator
        self.simulator = found
        self.modes = (modes or Modes()).seeded()
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="accel-sim-")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self.environment = child_environment(found, self.modes, choices)
        self.environment |= variables or {}
        self._python = python
        self._snippets = 0

    @property
    def seed(self) -> int:
        """The seed that the programs run with."""
        assert self.modes.seed is not None
        return self.modes.seed

    def python(
        self,
        program: str | Path,
        *arguments: str,
        check: bool = True,
        limit: float = LIMIT_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a Python program: a path, or source text (which may be indented).

        Args:
            check: raise when it fails.
            limit: seconds after which it is killed.
            variables: of this run alone.

        Raises:
            ProgramFailedError: it ended with another status than 0, or did not end in time.
        """
        words = [self._python, str(self._file(program)), *arguments]
        return self.run(words, check=check, limit=limit, variables=variables)

    def ranks(
        self,
        count: int,
        program: str | Path,
        *arguments: str,
        check: bool = True,
        limit: float = LIMIT_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a Python program in `count` processes, as torchrun does; else like :meth:`python`."""
        launcher = [self._python, "-m", "torch.distributed.run", "--standalone"]
        words = [*launcher, f"--nproc-per-node={count}", str(self._file(program)), *arguments]
        return self.run(words, check=check, limit=limit, variables=variables)

    def run(
        self,
        words: Sequence[str],
        *,
        check: bool = True,
        limit: float = LIMIT_SECONDS,
        variables: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run any command; see :meth:`python`."""
        process = subprocess.Popen(
            words,
            env={**self.environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # its children end with it
        )
        late = ""
        try:
            stdout, stderr = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end_session(process)
            stdout, stderr = process.communicate()
            late = f"\nkilled after {limit:g} s"
        except BaseException:
            _end_session(process)
            process.wait()
            raise
        finished = Finished(process.returncode, stdout, stderr + late, self.seed)
        return finished.check() if check or late else finished

    def traces(self) -> list[ProcessTrace]:
        """What ran on the streams so far, one for each process; needs the mode `trace`.

        Raises:
            ValueError: the modes have no trace.
        """
        if self.modes.trace is None:
            raise ValueError("these modes have no trace: give Modes(trace=PREFIX)")
        return read_traces(self.modes.trace)

    def _file(self, program: str | Path) -> Path:
        if isinstance(program, Path):
            return program
        self._snippets += 1
        path = self.folder / f"program-{self._snippets}.py"
        path.write_text(textwrap.dedent(program), encoding="utf-8")
        return path


def _end_session(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
