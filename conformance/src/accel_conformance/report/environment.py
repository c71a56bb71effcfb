"""The environment of a run, for the report."""

from __future__ import annotations

import os
import platform
import shlex
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from accel import Backend

from ..running import RunOptions
from .model import Environment

__all__ = ["describe_environment", "rerun_command"]


def describe_environment(
    options: RunOptions, backend: Backend, levels: frozenset[int]
) -> Environment:
    """What is worth knowing of this machine and this run."""
    import torch

    chosen = tuple(sorted(levels))
    return Environment(
        backend=backend.name,
        device=str(backend.device),
        distribution=backend.distribution,
        version=backend.version,
        simulated=backend.simulated,
        probe=backend.probe.reason,
        seed=options.seed,
        quick=options.quick,
        levels=chosen,
        command=rerun_command(options, None, chosen),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        python=platform.python_version(),
        torch=str(torch.__version__),
        accel=_version("accel-core"),
        conformance=_version("accel-conformance"),
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=_cpu_model(),
        cpu_count=_usable_cpus(),
        details={k: str(v) for k, v in backend.probe.details.items()},
        notes=backend.notes,
    )


def rerun_command(options: RunOptions, case_id: str | None, levels: tuple[int, ...] = ()) -> str:
    """The command that repeats one case, or (with None) the run, on the same data."""
    words = ["accel-conformance", "run", "--backend", options.backend]
    if options.device is not None:
        words += ["--device", options.device]
    words += ["--seed", str(options.seed)]
    if options.quick:
        words.append("--quick")
    for level in levels:
        words += ["--level", f"L{level}"]
    if case_id is not None:
        words += ["--case", case_id]
    return shlex.join(words)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _usable_cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware", "cpu model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
