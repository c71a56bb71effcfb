"""Run one task in a process of its own and survive whatever it does there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "run_isolated"]

#: Seconds. Importing torch from a cold network disk takes a minute.
TIMEOUT = 300.0


@dataclass(frozen=True)
class Outcome:
    """How a task ended. ``value`` is what it returned; ``failure`` is empty when it returned."""

    value: Any
    failure: str
    output: str  #: the end of its standard error

    @property
    def ok(self) -> bool:
        return not self.failure


def run_isolated(
    task: str, argument: Any = None, leave_out: tuple[str, ...] = (), timeout: float = TIMEOUT
) -> Outcome:
    """Run ``accel_tools.tasks.<task>(argument)`` in a fresh interpreter.

    Args:
        leave_out: distributions whose plugins are not imported there.

    A crash, an exit and a time-out are outcomes, not errors.
    """
    with tempfile.TemporaryDirectory(prefix="accel-doctor-") as directory:
        # A file, since plugins and vendor libraries print to standard output as they like.
        answer = Path(directory) / "answer.json"
        order = json.dumps({"task": task, "argument": argument, "leave_out": list(leave_out)})
        command = [sys.executable, *_flags(), "-X", "faulthandler", "-m", "accel_tools.tasks"]
        try:
            done = subprocess.run(
                [*command, order, str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            return Outcome(None, f"did not end within {timeout:.0f} s", _tail(error.stderr))
        output = _tail(done.stderr)
        if done.returncode < 0:
            return Outcome(None, f"was killed by {_signal_name(-done.returncode)}", output)
        if done.returncode > 0 or not answer.exists():
            return Outcome(None, f"ended with exit status {done.returncode}", output)
        return Outcome(json.loads(answer.read_text()), "", output)


def _flags() -> list[str]:
    """This interpreter's own switches, so that the child sees the same environment."""
    flags = sys.flags
    chosen = {"-S": flags.no_site, "-E": flags.ignore_environment, "-s": flags.no_user_site}
    return [switch for switch, on in chosen.items() if on]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(stderr: bytes | str | None, lines: int = 20) -> str:
    text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr or ""
    return os.linesep.join(text.strip().splitlines()[-lines:])
