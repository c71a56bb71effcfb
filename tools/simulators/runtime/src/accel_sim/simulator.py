"""What a simulator says about itself: the interface behind the entry-point group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModeError, SimulatorError

__all__ = ["GROUP", "Choice", "Simulator"]

#: The entry-point group; an entry's name is the simulator's, its object a :class:`Simulator`.
GROUP = "accel.simulators"


@dataclass(frozen=True)
class Choice:
    """An option that only this simulator has, such as which release of a toolkit it poses as.

    Attributes:
        name: ``cann`` makes the option ``--cann`` and the variable ``ACCEL_SIM_CANN``.
        values: what may be given; empty if `pattern` says it.
        default: what is taken otherwise.
        help: one line.
        pattern: a regular expression that the whole value has to match.
    """

    name: str
    values: tuple[str, ...]
    default: str
    help: str
    pattern: str = ""

    @property
    def variable(self) -> str:
        """The variable by which the libraries learn it."""
        return f"ACCEL_SIM_{self.name.upper()}"

    def checked(self, value: str) -> str:
        """The value.

        Raises:
            ModeError: it may not be given.
        """
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise ModeError(f"{self.name}: expected {self.help}, given {value!r}")
        if self.values and value not in self.values:
            raise ModeError(f"{self.name}: expected {', '.join(self.values)}, given {value!r}")
        return value


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

    def packages(self) -> Sequence[str]:
        """The folders of its package: its ``__path__``."""
        raise NotImplementedError

    def folder(self) -> Path:
        """Where its libraries are, as installed (also by an editable install).

        Raises:
            SimulatorError: they were not built; the text names the folders looked in.
        """
        folders = [Path(path) / "lib" for path in self.packages()]
        for folder in folders:
            if (folder / self.anchor).exists():
                return folder
        looked = ", ".join(str(folder) for folder in folders)
        raise SimulatorError(
            f"accel-sim-{self.name} has no libraries in {looked}: "
            "install it with `pip install`, which builds them"
        )

    def variables(self) -> Mapping[str, str]:
        """Variables that programs need besides the library path and the modes."""
        return {}

    def python_path(self, chosen: Mapping[str, str]) -> Sequence[Path]:
        """Folders of Python packages that only programs under the simulator are to find.

        ``chosen`` are the variables of its own options, as the program will have them.
        """
        return ()

    def standin_folder(self) -> Path | None:
        """Headers that stand for the vendor's kernel language: kernels compile for the host."""
        return None

    def kernel_folders(self) -> Sequence[Path]:
        """Where such a compilation finds headers; ``shim/run.cpp`` of the first is linked."""
        folder = self.standin_folder()
        return () if folder is None else (folder, Path(__file__).parent / "native" / "include")

    def searched_first(self) -> Sequence[Path]:
        """Folders that the vendor's Python stack searches before ``LD_LIBRARY_PATH``."""
        return ()

    def hardware(self) -> Sequence[str]:
        """What there is of the real devices on this machine, such as device files."""
        return ()

    def info(self) -> Mapping[str, Any]:
        """Facts for ``accel-sim NAME info``, beside those that every simulator has."""
        return {}
