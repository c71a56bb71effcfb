"""The conformance runs of a backend under its vendor's simulator; for `make conformance-ascend` and
`make conformance-mlu`.

    conformance_simulated.py ascend                      # one device, two, and level 3 on four
    conformance_simulated.py ascend --short              # the same with nothing run twice: CI's
    conformance_simulated.py ascend --choice cann=8.0 --level L0..L2

Every seed seeds both the simulator's delays and the suite's data. Level 3 is repeated on four
devices, as vendors' libraries take one rank a device. The vendor's kernels are built for the
simulator first; every other run is without them. All of it is simulated.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vendor:
    """A backend and what it runs on here."""

    backend: str
    simulator: str  #: the name that accel-sim has for it
    kernels: str  #: the variable with the folder in which the backend looks for kernel binaries
    language: str  #: what those are written in
    #: What the simulator poses as, in turn; nothing stands for what it is by itself.
    poses: tuple[tuple[str, ...], ...] = ((),)


VENDORS = {
    "ascend": Vendor("ascend", "cann", "ACCEL_ASCEND_KERNELS", "AscendC"),
    "mlu": Vendor(
        "mlu",
        "cnrt",
        "ACCEL_MLU_KERNELS",
        "BANG C",
        ((), ("chip=mlu370",), ("cnrt=6.0", "not-ready=busy")),
    ),
}


@dataclass(frozen=True)
class Part:
    """Some of the suite on so many devices."""

    devices: int
    levels: tuple[str, ...] = ()  #: all where there is none
    names: str = ""  #: pytest's expression for the cases


FULL = (Part(1), Part(2), Part(4, ("L3",)))
#: Only copies between devices and communicators know of other devices; KV movement without the
#: vendor's kernels goes through other code than with them.
SHORT = (
    Part(1, ("L0..L2", "L4")),
    Part(2, ("L1..L2",), "peer or kv_transfer or kv_blocks or kv_gather or kv_write"),
    Part(4, ("L3",)),
)


@dataclass(frozen=True)
class Run:
    """One run of the suite."""

    vendor: Vendor
    seed: int
    part: Part
    choices: tuple[str, ...]

    @property
    def name(self) -> str:
        words = [f"conformance-{self.vendor.backend}-simulated-{self.part.devices}-devices"]
        words += [*self.part.levels, *(choice.replace("=", "-") for choice in self.choices)]
        return "-".join([*words, f"seed-{self.seed}"])

    @property
    def by_kernels(self) -> bool:
        """Whether the vendor's kernels serve KV movement; else copies and operators do."""
        return (self.seed + self.part.devices) % 2 == 0

    def words(self, given: argparse.Namespace) -> list[str]:
        """The command line."""
        simulate = [sys.executable, "-m", "accel_sim", self.vendor.simulator, "run", "--strict"]
        simulate += ["--seed", str(self.seed), "--delay-us", str(given.delay_us)]
        simulate += ["--devices", str(self.part.devices), "--memory", given.memory]
        for choice in self.choices:
            key, _, value = choice.partition("=")
            simulate += [f"--{key}", value]
        suite = [sys.executable, "-m", "accel_conformance", "run"]
        suite += ["--backend", self.vendor.backend, "-n", str(given.jobs)]
        suite += ["--seed", str(self.seed), "--patience", "3"]
        suite += ["--json", f"{given.reports / self.name}.json"]
        suite += ["--markdown", f"{given.reports / self.name}.md"]
        suite += [word for level in self.part.levels for word in ("--level", level)]
        suite += ["-k", self.part.names] if self.part.names else []
        suite += ["--quick"] if given.quick else []
        return [*simulate, "--", *suite]


def runs(given: argparse.Namespace) -> list[Run]:
    """What is to be run, in order."""
    parts = SHORT if given.short else FULL
    if given.level:
        parts = tuple(Part(devices, tuple(given.level)) for devices in given.devices or [1])
    elif given.devices:
        parts = tuple(part for part in parts if part.devices in given.devices)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    vendor = VENDORS[given.backend]

    def choices(seed: int, part: Part) -> tuple[str, ...]:
        return tuple(given.choice) or vendor.poses[(seed + part.devices) % len(vendor.poses)]

    return [Run(vendor, seed, part, choices(seed, part)) for seed in seeds for part in parts]


def build_kernels(vendor: Vendor, folder: Path, environment: dict[str, str]) -> None:
    """The vendor's kernels through the simulator's stand-in of their language."""
    simulate = [sys.executable, "-m", "accel_sim", vendor.simulator, "run", "--"]
    build = [sys.executable, "-m", "accel_tools", "build-kernels", "--backend", vendor.backend]
    subprocess.run(
        [*simulate, *build], env={**environment, vendor.kernels: str(folder)}, check=True
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("backend", choices=sorted(VENDORS))
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="nothing twice that is alike")
    parser.add_argument("--devices", type=int, action="append", help="only with so many")
    parser.add_argument("--level", action="append", help="only these, on --devices (1)")
    parser.add_argument(
        "--choice",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what the simulator poses as, as cann=8.0 or soc=310P",
    )
    parser.add_argument("--delay-us", type=int, default=200)
    parser.add_argument("--memory", default="4GiB", help="of each device")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="fewer rounds of what is repeated")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    return parser.parse_args(words)


def main() -> int:
    given = arguments()
    vendor = VENDORS[given.backend]
    given.reports.mkdir(exist_ok=True)
    # Each simulated stream is a thread: one that starts threads of its own waits for the others.
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    kernels = given.reports.resolve() / f"{vendor.backend}-kernels"
    build_kernels(vendor, kernels, environment)
    outcomes = []
    for run in runs(given):
        begin = time.monotonic()
        folder = kernels if run.by_kernels else kernels / "none"
        settings = {**environment, vendor.kernels: str(folder)}
        code = subprocess.run(run.words(given), env=settings, check=False).returncode
        outcomes.append((run, code, time.monotonic() - begin))
    print(f"\naccel-{vendor.backend} on a simulator (simulated; no result of hardware):")
    for run, code, seconds in outcomes:
        tier = f"{vendor.language} kernels" if run.by_kernels else f"no {vendor.language} kernels"
        state = "conformant" if code == 0 else f"NOT conformant (exit status {code})"
        print(f"  {run.name} ({tier}): {state}, {seconds:.0f} s")
    return int(any(code for _, code, _ in outcomes))


if __name__ == "__main__":
    sys.exit(main())
