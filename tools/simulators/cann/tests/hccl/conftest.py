"""Ranks of a communicator, each in a process of its own, on the simulator's C ABI without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "ranks" / "main.py"
#: For programs that never end; generous, as machines may be busy.
LIMIT_SECONDS = 240


@dataclass(frozen=True)
class Rank:
    """What became of one rank: its exit status, what its program returned, and its stderr."""

    returncode: int
    value: Any
    stderr: str


#: ``ranks("module.function", 4, {"argument": 1}, strict=True)``: one Rank for each.
Ranks = Callable[..., "list[Rank]"]


@pytest.fixture
def ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Runs a function of a module in ``ranks/`` in several processes at a time."""

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
        made = simulation("cann", **options)
        folder = tmp_path_factory.mktemp("ranks")
        words = [sys.executable, str(PROGRAM), program, json.dumps(arguments or {})]
        processes = [
            subprocess.Popen(
                [*words, str(rank), str(count), str(folder)],
                env={**made.environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]
        try:
            results = [_result(process) for process in processes]
        finally:
            for process in processes:
                process.kill()
        if check:
            for rank, result in enumerate(results):
                assert result.returncode == 0, f"rank {rank} (seed {made.seed}):\n{result.stderr}"
        return results

    return run


def _result(process: subprocess.Popen[str]) -> Rank:
    stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
    lines = stdout.splitlines()
    return Rank(process.returncode, json.loads(lines[-1]) if lines else None, stderr)
