"""The environment of a program that runs on a simulator, and what must not be mixed into it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import ModeError, SimulatorError
from .modes import PREFIX, Modes
from .simulator import Simulator

__all__ = ["child_environment", "is_simulated", "real_stack"]

_MARK = b"accel_simulator\0"


def child_environment(
    simulator: Simulator,
    modes: Modes,
    choices: Mapping[str, str] | None = None,
    base: Mapping[str, str] | None = None,
    *,
    beside_real: bool = False,
) -> dict[str, str]:
    """The variables that make a program use the simulator; this process is not changed.

    Args:
        choices: values of the simulator's own options; the others take their defaults.
        base: the environment to start from, ``os.environ`` by default. Modes that are in it do not
            count: what is wanted is given.
        beside_real: run although the real stack or device was found. Its folders are then taken out
            of the child's library path, as one process must not load parts of both.

    Raises:
        ModeError: no such choice, or no such value.
        SimulatorError: the simulator is not built, or the real stack is here (see `beside_real`).
    """
    found = dict(os.environ if base is None else base)
    in_the_way = real_stack(simulator, found)
    if in_the_way and not beside_real:
        raise SimulatorError(
            f"{simulator.title} would stand beside the real {simulator.stack}:"
            f" {'; '.join(in_the_way)}. Nothing is simulated where the real thing may be meant."
            " Cure: `accel-sim ... run --beside-real` if the simulator is what you want"
        )
    for folder in simulator.searched_first():
        if (folder / simulator.anchor).exists() and not is_simulated(folder / simulator.anchor):
            raise SimulatorError(
                f"{folder / simulator.anchor} is loaded before anything that"
                " LD_LIBRARY_PATH names, and is not the simulator's. Cure: move it away"
            )
    environment = {key: text for key, text in found.items() if not key.startswith(PREFIX)}
    environment |= simulator.variables()
    chosen = _chosen(simulator, choices or {})
    environment |= chosen
    environment |= modes.seeded().variables()
    others = [part for part in _library_path(found) if not _is_real(simulator, Path(part))]
    own = str(simulator.folder())
    path = [own, *(part for part in others if part != own)]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(path)
    if packages := [str(folder) for folder in simulator.python_path(chosen)]:
        others = [part for part in found.get("PYTHONPATH", "").split(os.pathsep) if part]
        environment["PYTHONPATH"] = os.pathsep.join(
            [*packages, *(part for part in others if part not in packages)]
        )
    return environment


def real_stack(simulator: Simulator, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What of the real devices and their software is here, one phrase each; empty without any."""
    found = list(simulator.hardware())
    found += [
        f"LD_LIBRARY_PATH has {part}, which holds a {simulator.anchor}"
        for part in _library_path(environment)
        if _is_real(simulator, Path(part))
    ]
    for name in environment.get("LD_PRELOAD", "").replace(":", " ").split():
        if Path(name).name == simulator.anchor and not is_simulated(Path(name)):
            found.append(f"LD_PRELOAD names {name}")
    return tuple(found)


def is_simulated(library: Path) -> bool:
    """Whether a library is a simulator's: those export ``accel_simulator``. It is not loaded."""
    with library.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_MARK) >= 0


def _library_path(environment: Mapping[str, str]) -> list[str]:
    return [part for part in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]


def _is_real(simulator: Simulator, folder: Path) -> bool:
    library = folder / simulator.anchor
    return library.is_file() and not is_simulated(library)


def _chosen(simulator: Simulator, given: Mapping[str, str]) -> dict[str, str]:
    known = {choice.name: choice for choice in simulator.choices}
    for name in given:
        if name not in known:
            may = ", ".join(known) or "none"
            raise ModeError(f"{simulator.title} has no option {name!r}; it has: {may}")
    variables = {}
    for name, choice in known.items():
        variables[choice.variable] = choice.checked(given.get(name, choice.default))
    return variables
