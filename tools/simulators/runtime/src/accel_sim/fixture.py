"""The pytest plugin: one fixture, inert until it is asked for; its users are marked `simulated`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .simulation import Simulation

__all__ = ["Simulate", "simulation"]

#: The `simulation` fixture's type.
Simulate = Callable[..., "Simulation"]


def pytest_configure(config: pytest.Config) -> None:
    line = "simulated: runs programs under a simulator (set for who uses the fixture `simulation`)"
    config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)  # before -m looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "simulation" in getattr(item, "fixturenames", ()):
            item.add_marker("simulated")


@pytest.fixture
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """``simulation("cann", delay_us=500, strict=True)``: programs under a simulator.

    Takes the fields of :class:`accel_sim.Modes` (`faults` as texts, `trace=True` for a prefix of
    the test's own), the simulator's own options, `python` and `variables`. A fresh seed is taken
    unless one is given; it is printed. ``.python(source)`` runs a snippet in a process of its own
    and returns what it wrote; nothing of the test's own process changes. Skips the test if the
    simulator is not installed or not built.
    """

    def make(
        name: str,
        *,
        python: str | None = None,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> Simulation:
        from . import Fault, Modes, Simulation, SimulatorError, installed, simulator

        if name not in installed():
            pytest.skip(f"the simulator {name!r} is not installed")
        found = simulator(name)
        try:
            found.folder()
        except SimulatorError as error:
            pytest.skip(str(error))
        folder = tmp_path_factory.mktemp(f"simulated-{name}")
        own = {choice.name for choice in found.choices}
        choices = {key: str(options.pop(key)) for key in sorted(own & set(options))}
        if options.get("trace") is True:
            options["trace"] = str(folder / "trace")
        options["faults"] = tuple(
            Fault.parse(fault) if isinstance(fault, str) else fault
            for fault in options.get("faults", ())
        )
        modes = Modes(**options).seeded()
        print(f"{found.title}: {modes}")
        # The tests' own process may have to do without the vendor's stack; what it starts has it.
        more: dict[str, Any] = {} if python is None else {"python": python}
        more["variables"] = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "1", **(variables or {})}
        return Simulation(found, modes, folder=folder, choices=choices, **more)

    return make
