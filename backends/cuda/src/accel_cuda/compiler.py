"""The runtime compiler: CUDA and HIP sources to device code, by NVRTC or hiprtc.

Both have the same functions under different names. What is compiled, and with which options, is
`accel_cuda.kernel_files`; where results are kept, `accel_cuda.kernel_cache`.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel.errors import AccelError

from .rtc_library import open_library

__all__ = ["Compiled", "Compiler", "KernelCompileError", "Resources"]


class KernelCompileError(AccelError, RuntimeError):
    """A kernel file does not compile.

    Attributes:
        file: its name.
        chip: what it was compiled for, as ``sm_90``.
        log: what the compiler said.
    """

    def __init__(self, file: str, chip: str, compiler: str, log: str, cure: str = "") -> None:
        self.file = file
        self.chip = chip
        self.compiler = compiler
        self.log = log
        self.cure = cure or (
            "this is a defect of accel-cuda or of a change to its kernels; report it with this text"
        )
        super().__init__(
            f"{file} does not compile for {chip} with {compiler}:\n{log.strip()}\nCure: {self.cure}"
        )

    def __reduce__(self) -> tuple[type[KernelCompileError], tuple[str, str, str, str, str]]:
        return type(self), (self.file, self.chip, self.compiler, self.log, self.cure)


@dataclass(frozen=True)
class Resources:
    """What the assembler says of one kernel."""

    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Compiled:
    """Device code that a driver loads, and what the compiler said on the way."""

    image: bytes
    log: str

    def resources(self) -> dict[str, Resources]:
        """By kernel; empty unless it was compiled with ``--ptxas-options=-v``."""
        found = {}
        entries = re.split(r"Compiling entry function '(\w+)'", self.log)[1:]
        for name, text in zip(entries[::2], entries[1::2], strict=True):
            found[name] = Resources(
                registers=_number(r"Used (\d+) registers", text),
                stack_bytes=_number(r"(\d+) bytes stack frame", text),
                spill_store_bytes=_number(r"(\d+) bytes spill stores", text),
                spill_load_bytes=_number(r"(\d+) bytes spill loads", text),
                shared_bytes=_number(r"(\d+) bytes smem", text),
            )
        return found


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


class Compiler:
    """One runtime compiler. Threads may compile at the same time; the GIL is free meanwhile."""

    def __init__(self, vendor: str, major: int | None = None) -> None:
        """``vendor``: ``cuda`` or ``hip``. ``major``: of the driver's version, if known.

        Raises `accel.BackendUnavailableError` where there is no compiler.
        """
        self.vendor = vendor
        self._library, self.path = open_library(vendor, major)
        self._prefix = {"cuda": "nvrtc", "hip": "hiprtc"}[vendor]
        describe = self._function("GetErrorString")
        describe.restype = ctypes.c_char_p
        self._describe: Callable[[int], bytes] = describe
        high, low = ctypes.c_int(), ctypes.c_int()
        self._check(self._function("Version")(ctypes.byref(high), ctypes.byref(low)))
        self.version = (high.value, low.value)
        self.name = f"{'NVRTC' if vendor == 'cuda' else 'hiprtc'} {high.value}.{low.value}"

    @property
    def identity(self) -> str:
        """Differs when the same source may give other code: releases share their two numbers."""
        try:
            size = os.stat(self.path).st_size
        except OSError:  # the dynamic linker found it by name
            size = 0
        return f"{self.name} ({size} bytes)"

    def chips(self) -> list[str]:
        """The chips it makes code for, oldest first, as ``sm_90``. HIP does not say: empty."""
        if self.vendor != "cuda":
            return []
        count = ctypes.c_int()
        self._check(self._function("GetNumSupportedArchs")(ctypes.byref(count)))
        numbers = (ctypes.c_int * count.value)()
        self._check(self._function("GetSupportedArchs")(numbers))
        return [f"sm_{number}" for number in sorted(numbers)]

    def compile(
        self,
        text: str,
        file: str,
        chip: str,
        headers: Mapping[str, str],
        options: Sequence[str],
    ) -> Compiled:
        """Compile ``text`` for ``chip``: ``sm_90``, ``compute_90`` (PTX), ``gfx942``.

        ``headers``: by the name they are included by. Raises `KernelCompileError`.
        """
        names = [name.encode() for name in headers]
        texts = [header.encode() for header in headers.values()]
        array = ctypes.c_char_p * len(names)
        program = ctypes.c_void_p()
        self._check(
            self._function("CreateProgram")(
                ctypes.byref(program),
                ctypes.c_char_p(text.encode()),
                ctypes.c_char_p(file.encode()),
                ctypes.c_int(len(names)),
                array(*texts),
                array(*names),
            )
        )
        try:
            target = "--gpu-architecture" if self.vendor == "cuda" else "--offload-arch"
            given = [f"{target}={chip}".encode(), *(option.encode() for option in options)]
            result = self._function("CompileProgram")(
                program, ctypes.c_int(len(given)), (ctypes.c_char_p * len(given))(*given)
            )
            log = self._output(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            if result != 0:
                reason = self._describe(result).decode(errors="replace")
                raise KernelCompileError(
                    file, chip, self.name, f"{reason}\n{log}", self._cure(chip)
                )
            if self.vendor == "hip":
                return Compiled(self._output(program, "Code"), log)
            kind = "PTX" if chip.startswith("compute_") else "CUBIN"
            return Compiled(self._output(program, kind), log)
        finally:
            self._function("DestroyProgram")(ctypes.byref(program))

    def _cure(self, chip: str) -> str:
        known = self.chips()
        if known and chip.replace("compute_", "sm_").rstrip("af") not in known:
            return f"{self.name} compiles for {', '.join(known)}; install one that knows {chip}"
        return ""

    def _output(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(self._function(f"Get{what}Size")(program, ctypes.byref(size)))
        content = ctypes.create_string_buffer(max(size.value, 1))
        self._check(self._function(f"Get{what}")(program, content))
        return content.raw[: size.value]

    def _function(self, name: str) -> Any:
        try:
            return getattr(self._library, self._prefix + name)
        except AttributeError:
            raise KernelCompileError(
                "nothing",
                "any chip",
                self.path,
                f"the library has no {self._prefix}{name}",
                "NVRTC 11.2 or later is needed",
            ) from None

    def _check(self, result: int) -> None:
        if result != 0:
            reason = self._describe(result).decode(errors="replace")
            raise KernelCompileError("nothing", "any chip", self.path, reason)
