"""Programs on simulated accelerators: the command, the fixture, and what simulators are built on.

Nothing here simulates anything in this process, and importing it changes nothing.
"""

from __future__ import annotations

from pathlib import Path

from .environment import child_environment
from .errors import ModeError, SimulatorError
from .faults import Fault
from .modes import Modes
from .registry import installed, simulator
from .simulation import Finished, ProgramFailedError, Simulation
from .simulator import Choice, Simulator
from .trace import ProcessTrace, read_traces

__all__ = [
    "Choice",
    "Fault",
    "Finished",
    "ModeError",
    "Modes",
    "ProcessTrace",
    "ProgramFailedError",
    "Simulation",
    "Simulator",
    "SimulatorError",
    "__version__",
    "child_environment",
    "installed",
    "native_sources",
    "read_traces",
    "simulator",
]

__version__ = "0.1.0"


def native_sources() -> str:
    """The folder of the core's C++ sources, which every simulator compiles into its own runtime."""
    return str(Path(__file__).parent / "native")
