"""The conformance runs of accel-ascend under the CANN simulator; for `make conformance-ascend`.

Every seed seeds both the simulator's delays and the suite's data. One run is on one device, one on
two, and level 3 is repeated on four, as HCCL takes one rank a device. AscendC kernels are built for
the simulator first; every other run is without them. All of it is simulated.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

#: Where accel-ascend looks for binaries of AscendC kernels.
FOLDER = "ACCEL_ASCEND_KERNELS"


@dataclass(frozen=True)
class Run:
    """One run of the suite."""

    seed: int
    devices: int
    level: str | None = None

    @property
    def name(self) -> str:
        level = f"-{self.level}" if self.level else ""
        return f"conformance-ascend-simulated-{self.devices}-devices{level}-seed-{self.seed}"

    @property
    def by_kernels(self) -> bool:
        """Whether AscendC kernels serve KV movement; else copies and operators do."""
        return (self.seed + self.devices) % 2 == 0

    def words(self, given: argparse.Namespace) -> list[str]:
        simulate = [sys.executable, "-m", "accel_sim", "cann", "run", "--strict"]
        simulate += ["--seed", str(self.seed), "--delay-us", str(given.delay_us)]
        simulate += ["--devices", str(self.devices), "--memory", given.memory]
        suite = [sys.executable, "-m", "accel_conformance", "run", "--backend", "ascend"]
        suite += ["-n", str(given.jobs), "--seed", str(self.seed), "--patience", "3"]
        suite += ["--json", f"{given.reports / self.name}.json"]
        suite += ["--markdown", f"{given.reports / self.name}.md"]
        suite += ["--level", self.level] if self.level else []
        suite += ["--quick"] if given.quick else []
        return [*simulate, "--", *suite]


def runs(seeds: int, first: int) -> list[Run]:
    """What is to be run, in order."""
    kinds = ((1, None), (2, None), (4, "L3"))
    return [Run(seed, *kind) for seed in range(first, first + seeds) for kind in kinds]


def build_kernels(environment: dict[str, str]) -> None:
    """AscendC sources through the simulator's stand-in of AscendC."""
    simulate = [sys.executable, "-m", "accel_sim", "cann", "run", "--"]
    build = [sys.executable, "-m", "accel_tools", "build-kernels", "--backend", "ascend"]
    subprocess.run([*simulate, *build], env=environment, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--delay-us", type=int, default=200)
    parser.add_argument("--memory", default="4GiB", help="of each device")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="fewer rounds of what is repeated")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    given = parser.parse_args()
    given.reports.mkdir(exist_ok=True)
    # Each simulated stream is a thread: one that starts threads of its own waits for the others.
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    kernels = given.reports.resolve() / "ascend-kernels"
    build_kernels({**environment, FOLDER: str(kernels)})
    outcomes = []
    for run in runs(given.seeds, given.first_seed):
        begin = time.monotonic()
        folder = kernels if run.by_kernels else kernels / "none"
        settings = {**environment, FOLDER: str(folder)}
        code = subprocess.run(run.words(given), env=settings, check=False).returncode
        outcomes.append((run, code, time.monotonic() - begin))
    print("\naccel-ascend on the CANN simulator (simulated; no result of hardware):")
    for run, code, seconds in outcomes:
        tier = "AscendC kernels" if run.by_kernels else "no AscendC kernels"
        state = "conformant" if code == 0 else f"NOT conformant (exit status {code})"
        print(f"  {run.name} ({tier}): {state}, {seconds:.0f} s")
    return int(any(code for _, code, _ in outcomes))


if __name__ == "__main__":
    sys.exit(main())
