"""Ranks of a communicator, each in a process of its own, on a simulator."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Rank", "Ranks", "run_ranks", "run_torch_ranks"]

#: For programs that never end; generous, as machines may be busy.
LIMIT_SECONDS = 240
TORCH_PROGRAMS = Path(__file__).parent / "torch_ranks"


@dataclass(frozen=True)
class Rank:
    """What became of one rank: its exit status, what its program returned, and its stderr."""

    returncode: int
    value: Any
    stderr: str


#: ``ranks("module.function", 4, {"argument": 1}, strict=True)``: one Rank for each.
Ranks = Callable[..., "list[Rank]"]


def run_ranks(simulation: Any, vendor: str, programs: Path, folder: Callable[[], Path]) -> Ranks:
    """What runs a function of a module in ``programs`` in several processes at a time."""

    def run(
        program: str,
        count: int,
        arguments: dict[str, Any] | None = None,
        *,
        check: bool = True,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> list[Rank]:
        options.setdefault("devices", max(count, 2))
        made = simulation(vendor, **options)
        words = [sys.executable, "-m", "accel_sim.testing.rank", str(programs), program]
        words.append(json.dumps(arguments or {}))
        environment = {**made.environment, **(variables or {})}
        shared = str(folder())
        each = [([*words, str(rank), str(count), shared], environment) for rank in range(count)]
        return _run_all(each, made.seed, check)

    return run


def run_torch_ranks(
    simulation: Any, vendor: str, device: str, backend: str, folder: Callable[[], Path]
) -> Ranks:
    """What runs a program of ``torch_ranks`` in several processes, as torchrun does."""

    def run(
        program: str,
        count: int,
        *arguments: str,
        check: bool = True,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> list[Rank]:
        made = simulation(vendor, devices=count, **options)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "OMP_NUM_THREADS": "1",
            "RANK_DEVICE": device,
            "RANK_BACKEND": backend,
            "TORCH_HCCL_STATUS_SAVE_PATH": str(folder()),
            **(variables or {}),
        }
        environments = [
            {**made.environment, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            for rank in range(count)
        ]
        words = [sys.executable, str(TORCH_PROGRAMS / program), *arguments]
        return _run_all([(words, environment) for environment in environments], made.seed, check)

    return run


def _run_all(each: list[tuple[list[str], dict[str, str]]], seed: int, check: bool) -> list[Rank]:
    """Runs all commands at a time. Each prints its result as its last line; others may precede."""
    processes = [
        subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words, environment in each
    ]
    try:
        with ThreadPoolExecutor(len(processes)) as readers:
            results = list(readers.map(_result, processes))
    finally:
        for process in processes:
            process.kill()
    if check:
        for rank, result in enumerate(results):
            assert result.returncode == 0, f"rank {rank} (seed {seed}):\n{result.stderr[-6000:]}"
    return results


def _result(process: subprocess.Popen[str]) -> Rank:
    try:
        stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        stderr += f"\nkilled after {LIMIT_SECONDS} s"
    lines = stdout.splitlines()
    return Rank(process.returncode, json.loads(lines[-1]) if lines else None, stderr)
