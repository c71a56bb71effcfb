"""The kernel files: where they are, what they include, and the options of each.

A file compiles with the options of its vendor and those of its entry in `FILES`; files that are not
named there have none of their own.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import accel
from accel.errors import ArgumentError

__all__ = [
    "FILES",
    "FOLDER",
    "FileOptions",
    "Source",
    "names",
    "options",
    "read",
    "target",
    "variants",
]

FOLDER = Path(__file__).with_name("kernels")

Defines = Mapping[str, object]


@dataclass(frozen=True)
class FileOptions:
    """How one file is compiled.

    Attributes:
        fused: products and sums may be fused. By default they are only where a kernel says
            ``accel_fma``, so that results are the CPU's to the last bit.
        arch_specific: for ``sm_90a`` and the like, which later chips cannot run.
        max_registers: per thread; 0 leaves it to the compiler.
        defines: what callers choose: macros with the values that each can have, in one table or in
            several. All combinations of a table are built ahead of time. Others work too, and are
            compiled when they are first asked for.
    """

    fused: bool = False
    arch_specific: bool = False
    max_registers: int = 0
    defines: tuple[Mapping[str, Sequence[object]], ...] = ({},)


# Kinds of numbers, as kernels/number_kinds.h has them; the usual ones first.
_F32, _F16, _BF16, _E4M3, _E5M2, _I8, _U8, _I4 = range(8)
_VALUES, _FLOATS = (_BF16, _F16, _F32), (_E4M3, _E5M2)
_WIDTHS = (16, 8, 4, 0)


def _codes(widths: tuple[int, ...]) -> FileOptions:
    both: Mapping[str, Sequence[object]] = {"ACCEL_VALUE": _VALUES, "ACCEL_VECTOR": widths}
    return FileOptions(
        defines=(
            {**both, "ACCEL_CODE": (_I8, _I4, _U8), "ACCEL_SHIFTED": (0, 1)},
            {**both, "ACCEL_CODE": _FLOATS, "ACCEL_SHIFTED": (0,)},
        )
    )


_NARROW = (*_FLOATS, _I8)

FILES: dict[str, FileOptions] = {
    "rope.cu": FileOptions(
        defines=(
            {"ACCEL_VALUE": _VALUES, "ACCEL_INTERLEAVED": (0,), "ACCEL_VECTOR": _WIDTHS},
            # A load holds a whole pair at least.
            {"ACCEL_VALUE": (_BF16, _F16), "ACCEL_INTERLEAVED": (1,), "ACCEL_VECTOR": _WIDTHS},
            {"ACCEL_VALUE": (_F32,), "ACCEL_INTERLEAVED": (1,), "ACCEL_VECTOR": (16, 8, 0)},
        )
    ),
    "quantize_rows.cu": _codes(_WIDTHS),
    "quantize_columns.cu": _codes(_WIDTHS),
    "quantize_strips.cu": _codes((16,)),
    "dequantize.cu": _codes(_WIDTHS),
    "convert.cu": FileOptions(
        defines=tuple(
            {"ACCEL_FROM": given, "ACCEL_TO": wanted, "ACCEL_VECTOR": widths}
            for given, wanted, widths in (
                (_VALUES, _NARROW, (32, 16, 8, 4)),
                (_NARROW, _VALUES, (16, 8, 4)),
                (_VALUES, _VALUES, (16, 8, 4)),
                ((_F32,), (_BF16, _F16), (32,)),
            )
        )
    ),
}

_ALWAYS = {
    "cuda": (
        "--std=c++17",
        "--device-as-default-execution-space",
        "--prec-div=true",
        "--prec-sqrt=true",
        "--ftz=false",
    ),
    "hip": ("--std=c++17", "-O3"),
}
_UNFUSED = {"cuda": "--fmad=false", "hip": "-ffp-contract=off"}


@dataclass(frozen=True)
class Source:
    """A kernel file with everything that it may include."""

    name: str
    text: str
    headers: Mapping[str, str]

    def digest(self) -> bytes:
        """Of all of it."""
        total = hashlib.sha256()
        for name, text in [(self.name, self.text), *sorted(self.headers.items())]:
            for part in (name.encode(), text.encode()):
                total.update(len(part).to_bytes(8, "little"))
                total.update(part)
        return total.digest()


def names() -> list[str]:
    """All kernel files."""
    return sorted(path.name for path in FOLDER.glob("*.cu"))


def read(name: str) -> Source:
    """A kernel file by name, or any other file by its path."""
    path = FOLDER / name
    try:
        return Source(path.name, path.read_text(encoding="utf-8"), _headers())
    except FileNotFoundError:
        raise ArgumentError("file", f"one of {', '.join(names())}", name) from None


@cache
def _headers() -> Mapping[str, str]:
    core = Path(accel.get_include()) / "accel"
    ours = {path.name: path for path in FOLDER.glob("*.h")}
    shared = {f"accel/{path.name}": path for path in core.glob("*.h")}
    everything = {**ours, **shared}
    return {name: path.read_text(encoding="utf-8") for name, path in sorted(everything.items())}


def variants(name: str) -> list[dict[str, object]]:
    """The defines that a file is compiled with, one by one."""
    tables = FILES.get(name, FileOptions()).defines
    return [
        dict(zip(table, values, strict=True))
        for table in tables
        for values in product(*table.values())
    ]


def options(vendor: str, name: str, defines: Defines | None = None) -> list[str]:
    """The compiler's options for a file, its target aside. ACCEL_KERNEL_OPTIONS adds to them."""
    given = FILES.get(name, FileOptions())
    result = list(_ALWAYS[vendor])
    if not given.fused:
        result.append(_UNFUSED[vendor])
    if given.max_registers and vendor == "cuda":
        result.append(f"--maxrregcount={given.max_registers}")
    result += [f"-D{key}={value}" for key, value in sorted((defines or {}).items())]
    return result + shlex.split(os.environ.get("ACCEL_KERNEL_OPTIONS", ""))


def target(name: str, chip: str, known: list[str]) -> str:
    """What to compile for: the device is ``chip``, the compiler knows the chips ``known``.

    A chip newer than the compiler gets PTX of the newest known one, which the driver translates.
    """
    if not known or chip in known:
        specific = FILES.get(name, FileOptions()).arch_specific and chip.startswith("sm_")
        return chip + "a" if specific else chip
    newest = max(known, key=_number)
    return f"compute_{_number(newest)}" if _number(chip) > _number(newest) else chip


def _number(chip: str) -> int:
    digits = "".join(character for character in chip if character.isdigit())
    return int(digits) if digits else 0
