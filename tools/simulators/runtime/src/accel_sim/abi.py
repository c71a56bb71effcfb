"""A vendor's C functions through ctypes, for programs that tests run under a simulator."""

from __future__ import annotations

import ctypes
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .simulation import Finished

__all__ = ["CallFailedError", "Library", "programs"]

_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class CallFailedError(Exception):
    """A call that failed: its name, its code and the library's text."""

    def __init__(self, name: str, code: int, text: str) -> None:
        super().__init__(f"{name}: {code}: {text}")
        self.code = code


class Library:
    """A shared library whose functions return a code, 0 when all is well.

    Args:
        name: as the loader finds it.
        text: what the library says of a code that a call has just returned.
    """

    def __init__(self, name: str, text: Callable[[ctypes.CDLL, int], bytes | None]) -> None:
        self.cdll = ctypes.CDLL(name)
        self.cdll.accel_simulator.restype = ctypes.c_char_p
        self.cdll.accel_simulator_calls.restype = ctypes.c_uint64
        self._text = text
        self._kept: list[object] = []

    def code(self, name: str, *arguments: object) -> int:
        """Call a function; its code."""
        return int(getattr(self.cdll, name)(*arguments))

    def ok(self, name: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            CallFailedError: its code is not 0.
        """
        if code := self.code(name, *arguments):
            raise CallFailedError(name, code, (self._text(self.cdll, code) or b"").decode())

    def made(self, name: str, kind: Any, *arguments: object) -> Any:
        """What a function writes, of the ctypes type `kind`, through its first argument."""
        value = kind()
        self.ok(name, ctypes.byref(value), *arguments)
        return value

    def callback(self, function: Callable[[], object]) -> object:
        """A Python function as a C host function of one argument, kept alive."""
        made = _HOST_FUNCTION(lambda _: function() and None)
        self._kept.append(made)
        return made

    def gate(self, launch: Callable[[object], None]) -> threading.Event:
        """Launches a host function that keeps its stream busy until the event is set."""
        opened = threading.Event()
        launch(self.callback(opened.wait))
        return opened


def programs(
    simulation: Callable[..., Any], name: str, folder: Path, first: str, choose: str
) -> Callable[..., Finished]:
    """``run(source, device=0, check=True, strict=True, ...)``: runs a program under a simulator.

    Args:
        simulation: the fixture.
        name: the simulator's.
        folder: whose modules the programs import.
        first: the lines that every program starts with.
        choose: the line that chooses a device, with ``{}`` for its number; left out with device
            None.
    """

    def run(
        source: str,
        *,
        device: int | None = 0,
        check: bool = True,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> Finished:
        made = simulation(name, **options)
        chosen = "" if device is None else choose.format(device) + "\n"
        path = [str(folder), *filter(None, [made.environment.get("PYTHONPATH")])]
        finished = made.python(
            first + chosen + textwrap.dedent(source),
            check=check,
            variables={"PYTHONPATH": ":".join(path), **(variables or {})},
        )
        assert isinstance(finished, Finished)
        return finished

    return run
