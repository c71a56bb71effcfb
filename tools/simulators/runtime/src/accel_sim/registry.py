"""The simulators that are installed, found by their entry points."""

from __future__ import annotations

from importlib.metadata import entry_points

from .errors import SimulatorError
from .simulator import GROUP, Simulator

__all__ = ["installed", "simulator"]


def installed() -> tuple[str, ...]:
    """The names of the installed simulators. None of them is imported."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def simulator(name: str) -> Simulator:
    """The simulator of that name.

    Raises:
        SimulatorError: there is none, or its package is broken.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        known = ", ".join(installed()) or "none"
        raise SimulatorError(
            f"no simulator {name!r} is installed; installed: {known}."
            f" Cure: `pip install accel-sim-{name}`"
        )
    try:
        loaded = found[0].load()
    except Exception as error:
        raise SimulatorError(
            f"the simulator {name!r} ({found[0].value}) cannot be loaded:"
            f" {type(error).__name__}: {error}"
        ) from error
    if not isinstance(loaded, Simulator):
        raise SimulatorError(f"{found[0].value} is no accel_sim.Simulator but {loaded!r}")
    return loaded
