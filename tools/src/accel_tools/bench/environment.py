"""What a figure depends on: machine, versions, threads, the command."""

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accel import Backend

__all__ = ["available_memory", "describe"]

#: Prefixes of variables that change what is measured.
VARIABLES = ("ACCEL_", "OMP_", "MKL_NUM", "KMP_")


def describe(backend: Backend, seed: int) -> dict[str, Any]:
    """The ``environment`` of the JSON report, at the end of the run."""
    import torch

    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["accel", *sys.argv[1:]]),
        "seed": seed,
        "backend": {
            "name": backend.name,
            "distribution": backend.distribution,
            "version": backend.version,
            "device": str(backend.device),
            "simulated": backend.simulated,
            "probe": backend.probe.reason,
            "notes": list(backend.notes),
            "overrides": [f"{o.area}: {o.distribution}" for o in backend.overrides if o.used],
        },
        "chip": _chip(backend),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "cpus_allowed": _cpus_allowed(),
        "load_average": _load_average(),
        "torch_threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "toolkit": _toolkit(),
        "device_properties": _properties(backend),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "accel_core": _version("accel-core"),
        "accel_tools": _version("accel-tools"),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }


def available_memory() -> int | None:
    """Bytes of host memory that can be had now; None where the system does not say."""
    from accel.host_memory import host_memory

    known = host_memory()
    return None if known is None else known[0]


def _chip(backend: Backend) -> str:
    """The device's own name where torch knows it, else what the probe said."""
    import torch

    if backend.device.type == "cpu":
        return _cpu()
    try:
        module = torch.get_device_module(backend.device)
        return str(module.get_device_name(backend.device))
    except (AttributeError, RuntimeError):
        # Not every vendor's module has a name to give.
        return backend.probe.reason or str(backend.device)


def _toolkit() -> str:
    """What torch was built for: "cuda 13.0"; "" for CPUs alone."""
    import torch

    found = ((name, getattr(torch.version, name, None)) for name in ("cuda", "hip", "xpu"))
    return ", ".join(f"{name} {value}" for name, value in found if value)


def _properties(backend: Backend) -> str:
    """All that torch knows of the device, as it prints it."""
    import torch

    if backend.device.type == "cpu":
        return ""
    try:
        module = torch.get_device_module(backend.device)
        return str(module.get_device_properties(backend.device))
    except (AttributeError, RuntimeError):
        return ""


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _cpus_allowed() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return None


def _load_average() -> float | None:
    """Of the last minute, this process included; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
