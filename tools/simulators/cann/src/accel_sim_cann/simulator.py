"""The entry: where the simulator's libraries are, and what a program needs to find them."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accel_sim import Choice, Simulator, SimulatorError
from accel_sim.shared_objects import exported

from . import __path__, __version__

__all__ = ["SIMULATOR", "CannSimulator"]

#: Device files of Ascend drivers.
_DEVICE_FILES = ("/dev/davinci[0-9]*", "/dev/davinci_manager")

_PERMISSIVE = (
    "Operators are torch's CPU kernels: results equal the CPU's by construction, and say nothing of"
    " the rounding, the speed or the supported dtypes, formats and shapes of hardware.",
    "Time is the CPU's: nothing measured here is a hardware result.",
    "Device memory is host memory behind a guard: the host cannot touch it, but an operator that"
    " writes past its tensor inside one allocation is not noticed.",
    "Without --strict, alignment, dtype limits of HCCL, access to another device's memory and"
    " asynchronous copies of pageable memory pass that hardware refuses or makes synchronous.",
    "Without --delay-us most missing waits pass by luck; with it they show in some seeds, not all.",
    "HCCL moves data through sockets of one machine: no network, no RDMA, no topology.",
)


class CannSimulator(Simulator):
    """CANN on threads of the CPU."""

    def packages(self) -> Sequence[str]:
        return __path__

    def standin_folder(self) -> Path:
        return Path(__file__).with_name("ascendc")

    def variables(self) -> Mapping[str, str]:
        # torch_npu prints a warning on stdout without them, which breaks programs that parse it.
        home = _home()
        return {"ASCEND_HOME_PATH": str(home), "ASCEND_OPP_PATH": str(home / "opp")}

    def searched_first(self) -> Sequence[Path]:
        """torch_npu's own RPATH, which comes before LD_LIBRARY_PATH."""
        spec = importlib.util.find_spec("torch_npu")  # finds it, imports nothing
        packages = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
        return [
            folder
            for package in packages
            for folder in (package / "lib", package, package.parent / "torch_npu.libs")
        ]

    def hardware(self) -> Sequence[str]:
        files = sorted(path for pattern in _DEVICE_FILES for path in glob.glob(pattern))
        return [f"{path} is here" for path in files]

    def info(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {"version": __version__}
        folder = self.folder()
        for label, library, prefix in (
            ("acl functions", "libascendcl.so", "acl"),
            ("hccl functions", "libhccl.so", "Hccl"),
        ):
            if (folder / library).exists():
                facts[label] = sum(name.startswith(prefix) for name in exported(folder / library))
        if (folder / "libopapi.so").exists():
            operators = operator_bindings(folder / "libopapi.so")
            facts["operators simulated"] = sum(not weak for weak in operators.values())
            facts["operators that fail as not simulated"] = sum(operators.values())
        return facts


def operator_bindings(library: Path) -> dict[str, bool]:
    """The operators of a libopapi, and whether each is only a stub that says "not simulated".

    Stubs are weak symbols, which the definition of an operator replaces when the library is linked.
    """
    suffix = "GetWorkspaceSize"
    symbols = exported(library)
    return {
        name.removesuffix(suffix): weak
        for name, weak in symbols.items()
        if name.startswith("acl") and name.endswith(suffix) and name.removesuffix(suffix) in symbols
    }


def _home() -> Path:
    """What stands for the toolkit's folder: the sub-folders that torch_npu looks for, and no more.

    Raises:
        SimulatorError: the package is incomplete.
    """
    homes = [Path(part) / "home" for part in __path__]
    for home in homes:
        if (home / "opp").is_dir():
            return home
    raise SimulatorError(
        f"accel-sim-cann is incomplete: no {homes[0]}. Cure: `pip install --force-reinstall"
        " --no-deps accel-sim-cann`"
    )


SIMULATOR = CannSimulator(
    name="cann",
    title=f"CANN simulator {__version__}",
    stack="CANN",
    anchor="libascendcl.so",
    choices=(
        Choice("cann", ("8.0", "8.3", "8.5"), "8.5", "The CANN release that it poses as."),
        Choice("soc", ("910B", "310P"), "910B", "The chip that it poses as."),
    ),
    permissive=_PERMISSIVE,
)
