"""What a simulator says about itself: the interface behind the entry-point group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["GROUP", "Choice", "Simulator"]

#: The entry-point group; an entry's name is the simulator's, its object a :class:`Simulator`.
GROUP = "accel.simulators"


@dataclass(frozen=True)
class Choice:
    """An option that only this simulator has, such as which release of a toolkit it poses as.

    Attributes:
        name: ``cann`` makes the option ``--cann`` and the variable ``ACCEL_SIM_CANN``.
        values: what may be given.
        default: what is taken otherwise.
        help: one line.
    """

    name: str
    values: tuple[str, ...]
    default: str
    help: str

    @property
    def variable(self) -> str:
        """The variable by which the libraries learn it."""
        return f"ACCEL_SIM_{self.name.upper()}"


@dataclass(frozen=True)
class Simulator:
    """A simulator: one object of it is what an entry point names.

    Subclass it and override what differs. Nothing here may load a library into this process.

    Attributes:
        name: in the command, ``accel-sim NAME run``.
        title: for people.
        stack: what it stands in for, as people say it ("CANN").
        anchor: the library that only the vendor's stack or its simulator has.
        choices: options of its own.
        permissive: what it lets pass and hardware would not, one sentence each.
    """

    name: str
    title: str
    stack: str
    anchor: str
    choices: Sequence[Choice] = ()
    permissive: Sequence[str] = field(default=(), repr=False)

    def folder(self) -> Path:
        """Where its libraries are.

        Raises:
            SimulatorError: they were not built.
        """
        raise NotImplementedError

    def variables(self) -> Mapping[str, str]:
        """Variables that programs need besides the library path and the modes."""
        return {}

    def searched_first(self) -> Sequence[Path]:
        """Folders that the vendor's Python stack searches before ``LD_LIBRARY_PATH``."""
        return ()

    def hardware(self) -> Sequence[str]:
        """What there is of the real devices on this machine, such as device files."""
        return ()

    def info(self) -> Mapping[str, Any]:
        """Facts for ``accel-sim NAME info``, beside those that every simulator has."""
        return {}
