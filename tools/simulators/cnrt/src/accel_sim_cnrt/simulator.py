"""The entry: where the simulator's libraries are, and what a program needs to find them."""

from __future__ import annotations

import glob
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accel_sim import Choice, Simulator
from accel_sim.shared_objects import exported

from . import __path__, __version__
from .torch_device.names import VARIABLE, TorchName
from .torch_device.sites import site_folder

__all__ = ["SIMULATOR", "CnrtSimulator"]

#: Device files of Cambricon drivers.
_DEVICE_FILES = ("/dev/cambricon_dev[0-9]*", "/dev/cambricon_ctl")

_PERMISSIVE = (
    "The simulated torch_mlu computes with torch's CPU kernels: results equal the CPU's by"
    " construction, and say nothing of hardware's rounding, speed or supported dtypes.",
    "Time is the CPU's: nothing measured here is a hardware result.",
    "Device memory is host memory behind a guard: the host cannot touch it, but work that writes"
    " past its buffer inside one allocation is not noticed.",
    "Without --strict, CNRT calls from host functions, and queues used while another device is"
    " current, pass that hardware refuses.",
    "Without --delay-us most missing waits pass by luck; with it they show in some seeds, not all.",
    "CNCL moves data through sockets of one machine: no network, no RDMA, no topology.",
)


class CnrtSimulator(Simulator):
    """CNRT, CNCL and torch_mlu on threads of the CPU."""

    def packages(self) -> Sequence[str]:
        return __path__

    def python_path(self, chosen: Mapping[str, str]) -> Sequence[Path]:
        """The simulated torch_mlu: only what runs under the simulator finds it."""
        return [site_folder(TorchName.parse(chosen.get(VARIABLE, "")))]

    def standin_folder(self) -> Path:
        return Path(__file__).with_name("bang")

    def hardware(self) -> Sequence[str]:
        files = sorted(path for pattern in _DEVICE_FILES for path in glob.glob(pattern))
        found = [f"{path} is here" for path in files]
        real = real_torch_mlu()
        return [*found, f"torch_mlu {real} is installed"] if real else found

    def info(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {"version": __version__}
        folder = self.folder()
        for label, library, prefix in (
            ("cnrt functions", "libcnrt.so", "cnrt"),
            ("cncl functions", "libcncl.so", "cncl"),
        ):
            if (folder / library).exists():
                facts[label] = sum(name.startswith(prefix) for name in exported(folder / library))
        facts["torch_mlu simulated"] = any(
            path.name.startswith("_torch_mlu.") for path in folder.iterdir()
        )
        return facts


def real_torch_mlu() -> str | None:
    """The version of the vendor's torch_mlu that this environment has, if any."""
    own = site_folder(TorchName()).resolve()
    for distribution in importlib.metadata.distributions(name="torch_mlu"):
        if Path(str(distribution.locate_file(""))).resolve() != own:
            return distribution.version
    return None


SIMULATOR = CnrtSimulator(
    name="cnrt",
    title=f"CNRT simulator {__version__}",
    stack="CNRT",
    anchor="libcnrt.so",
    choices=(
        Choice("cnrt", ("6.0", "6.14"), "6.14", "The CNRT release that it poses as."),
        Choice("chip", ("mlu370", "mlu590"), "mlu590", "The chip that it poses as."),
        Choice(
            "not_ready",
            ("notready", "busy"),
            "notready",
            "Which code work has that has not ended: cnrtErrorNotReady or cnrtErrorBusy.",
        ),
        Choice(
            "torch_name",
            (),
            "mlu:torch_mlu:cncl",
            "DEVICE:PACKAGE:BACKEND: torch's device, its package, torch.distributed's backend.",
            pattern=r"[a-z0-9]+:[a-z_][a-z0-9_]*:[a-z0-9]+",
        ),
    ),
    permissive=_PERMISSIVE,
)
