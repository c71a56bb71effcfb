"""Starts the ranks of a test and collects what each of them found.

A rank costs an import of torch, so one launch runs a whole program of checks. Ranks meet through a
file, not a port. A program is a file of this directory with a function ``main(rank, size, seed,
report)``; ``report(name)`` is a context manager that records a check's outcome.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


def launch(
    program: str,
    size: int,
    seed: int,
    folder: Path,
    *,
    expected_exit: Sequence[int] | None = None,
    limit: float = 240.0,
) -> dict[str, list[str]]:
    """Run ``program`` on ``size`` ranks; {check: [outcome on rank 0, ...]}, "ok" or a traceback.

    Raises AssertionError, with the ranks' output, when a rank does not end as expected.
    """
    print(f"{program} on {size} ranks, seed {seed}")
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1")
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    logs = [folder / f"rank{rank}.log" for rank in range(size)]
    processes = []
    for rank in range(size):
        with logs[rank].open("w") as log:
            command = [sys.executable, str(HERE / "ranks.py"), program, str(rank), str(size)]
            processes.append(
                subprocess.Popen(
                    [*command, str(seed), str(folder)],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        codes = [process.wait(limit) for process in processes]
    except subprocess.TimeoutExpired:
        codes = [process.poll() for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    output = "\n".join(f"--- rank {r}\n{log.read_text()[-6000:]}" for r, log in enumerate(logs))
    assert codes == list(expected_exit or [0] * size), f"exit codes {codes}\n{output}"
    results: dict[str, list[str]] = {}
    for rank in range(size):
        for line in (folder / f"rank{rank}.json").read_text().splitlines():
            name, outcome = json.loads(line)
            results.setdefault(name, ["not reached"] * size)[rank] = outcome
    return results


def failed(results: dict[str, list[str]]) -> str:
    """The checks that failed, with what happened, for an assertion message; "" when none did."""
    lines = [f"{sum(all(o == 'ok' for o in v) for v in results.values())} of {len(results)} passed"]
    for name, outcomes in results.items():
        for rank, outcome in enumerate(outcomes):
            if outcome not in ("ok", "not reached"):
                lines.append(f"{name} on rank {rank}:\n{outcome}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _rank_main(program: str, rank: int, size: int, seed: int, folder: Path) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size
    )
    journal = (folder / f"rank{rank}.json").open("w", buffering=1)

    @contextmanager
    def report(name: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            journal.write(json.dumps([name, traceback.format_exc()[-3000:]]) + "\n")
        else:
            journal.write(json.dumps([name, "ok"]) + "\n")

    sys.path.insert(0, str(HERE))
    spec = importlib.util.spec_from_file_location(program, HERE / f"{program}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(rank, size, seed, report)


if __name__ == "__main__":
    _name, _rank, _size, _seed, _folder = sys.argv[1:]
    _rank_main(_name, int(_rank), int(_size), int(_seed), Path(_folder))
