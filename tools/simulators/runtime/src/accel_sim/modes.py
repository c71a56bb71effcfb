"""How a simulator shall behave: what a program is run with, and the variables that say so.

The variables are read once in each process, by the C++ core (``native/``), which knows the same
names. They mean nothing to a program that runs without a simulator.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import ModeError
from .faults import Fault

__all__ = ["PREFIX", "Modes", "parse_bytes"]

PREFIX = "ACCEL_SIM_"
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\Z", re.IGNORECASE)
_MOST_DEVICES = 64
_LONGEST_DELAY_US = 10_000_000


def parse_bytes(text: str) -> int:
    """``4GiB``, ``512M``, ``1.5G``, ``65536``: as a number of bytes (M is MiB, MB a million).

    Raises:
        ModeError: it is none of these.
    """
    match = _SIZE.match(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ModeError(f"memory: expected bytes, such as 4GiB or 1073741824, given {text!r}")
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


@dataclass(frozen=True)
class Modes:
    """The modes that every simulator knows.

    Attributes:
        seed: of everything random, the delays above all; None lets :meth:`seeded` choose one.
        delay_us: each operation of a stream waits for a random time up to this before it starts.
        strict: refuse what the hardware refuses and the simulator could do.
        faults: what shall fail.
        trace: write what ran on the streams to ``TRACE.PID.json``, one file for each process.
        devices: how many there are; None for the simulator's own number.
        memory: bytes of each device; None for the simulator's own figure.
    """

    seed: int | None = None
    delay_us: int = 0
    strict: bool = False
    faults: tuple[Fault, ...] = ()
    trace: str | None = None
    devices: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ModeError(f"seed: expected 0 <= seed < 2**63, given {self.seed}")
        if not 0 <= self.delay_us <= _LONGEST_DELAY_US:
            raise ModeError(
                f"delay_us: expected 0 to {_LONGEST_DELAY_US} microseconds, given {self.delay_us}"
            )
        if self.devices is not None and not 1 <= self.devices <= _MOST_DEVICES:
            raise ModeError(f"devices: expected 1 to {_MOST_DEVICES}, given {self.devices}")
        if self.memory is not None and self.memory < 2**20:
            raise ModeError(f"memory: expected at least 1 MiB a device, given {self.memory} bytes")
        if self.trace is not None:
            folder = Path(self.trace).absolute().parent
            if not folder.is_dir():
                raise ModeError(f"trace: expected a prefix in an existing folder, given {folder}")

    def seeded(self) -> Modes:
        """These modes with a seed: a fresh one unless there is one."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(2**31))

    def variables(self) -> dict[str, str]:
        """What the core reads. A trace prefix is made absolute, as programs may change folders."""
        found = {"SEED": self.seed, "DELAY_US": self.delay_us or None, "DEVICES": self.devices}
        found |= {"MEMORY": self.memory, "STRICT": 1 if self.strict else None}
        texts = {PREFIX + key: str(value) for key, value in found.items() if value is not None}
        if self.faults:
            texts[PREFIX + "FAULTS"] = ";".join(map(str, self.faults))
        if self.trace is not None:
            texts[PREFIX + "TRACE"] = os.path.abspath(self.trace)
        return texts

    @classmethod
    def from_variables(cls, environment: Mapping[str, str]) -> Modes:
        """The modes that an environment asks for.

        Raises:
            ModeError: names the variable.
        """
        value = {k[len(PREFIX) :]: v for k, v in environment.items() if k.startswith(PREFIX) and v}
        if value.get("STRICT", "0") not in ("0", "1"):
            raise ModeError(f"{PREFIX}STRICT: expected 0 or 1, given {value['STRICT']!r}")
        texts = [text for text in value.get("FAULTS", "").split(";") if text.strip()]
        memory = value.get("MEMORY")
        return cls(
            seed=_whole(value, "SEED"),
            delay_us=_whole(value, "DELAY_US") or 0,
            strict=value.get("STRICT") == "1",
            faults=tuple(Fault.parse(text) for text in texts),
            trace=value.get("TRACE"),
            devices=_whole(value, "DEVICES"),
            memory=parse_bytes(memory) if memory else None,
        )

    def __str__(self) -> str:
        """For people: ``seed 7, delays up to 500 us, strict``."""
        words = [] if self.seed is None else [f"seed {self.seed}"]
        if self.devices is not None:
            words.append(f"{self.devices} device{'' if self.devices == 1 else 's'}")
        if self.memory is not None:
            words.append(f"{self.memory / 2**30:.4g} GiB each")
        if self.delay_us:
            words.append(f"delays up to {self.delay_us} us")
        if self.strict:
            words.append("strict")
        words += [f"fault {fault}" for fault in self.faults]
        if self.trace is not None:
            words.append(f"trace {self.trace}.PID.json")
        return ", ".join(words)


def _whole(value: Mapping[str, str], key: str) -> int | None:
    text = value.get(key)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ModeError(f"{PREFIX}{key}: expected a number, given {text!r}") from None
